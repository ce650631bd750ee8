"""Where trainings run: in this process, in processes of this machine, on a Ray cluster.

All of them are `concurrent.futures.Executor`s, so the search does not know which one it has.
"""
