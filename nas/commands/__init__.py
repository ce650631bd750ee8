"""The commands. Each module imports what is heavy inside its functions, so that `--help` is quick."""
