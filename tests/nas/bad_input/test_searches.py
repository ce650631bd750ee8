"""What nas-search answers to wrong options and spaces: one line that names the value and the remedy, and nothing made."""

import pytest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], r"Missing option '--target-ms'; for example --target-ms 78"),
        (["--target-ms"], "--target-ms.*'--device'"),
        (["--target-ms", "fast"], "--target-ms.*'fast'"),
        (["--target-ms", "0"], "target-ms is 0.0; expected a number above 0"),
        (["--target-ms", "-3"], "target-ms is -3.0; expected a number above 0"),
        (["--target-ms", "nan"], "target-ms is nan; expected a finite number"),
        (["--target-ms", "inf"], "target-ms is inf; expected a finite number"),
        (["--target-ms", "1e-300"], "target-ms is 1e-300; expected a number from 1e-06 to 1e"),
        (["--target-m", "5"], r"--target-m.*did you mean --target-ms\?"),
        (["--target-ms", "5", "extra"], "unexpected extra argument.*extra"),
        (["--target-ms", "5", "--space", "mnasnett"], r"space is 'mnasnett'; .*did you mean mnasnet\?"),
        (["--target-ms", "5", "--space", "none.yaml"], "cannot read none.yaml: No such file"),
        (["--target-ms", "5", "--space", "~nobody-here/s.yaml"], "space '~nobody-here/s.yaml' cannot be a path"),
        (["--target-ms", "5", "--device", "cpu9"], "device 'cpu9' is unknown; expected one of cpu, cpu:litert"),
        (["--target-ms", "5", "--device", "nexus9"], "device 'nexus9' matches no attached phone.*--device cpu"),
        (["--target-ms", "5", "--sampler", "tpee"], r"sampler is 'tpee'; expected one of .*did you mean tpe\?"),
        (["--target-ms", "5", "--objective", "soft2"], r"objective is 'soft2'; .*did you mean soft\?"),
        (["--target-ms", "5", "--data", "nowhere"], "nowhere' does not exist; expected digits, a folder"),
        (["--target-ms", "5", "--data", "~nobody-here"], "data '~nobody-here' cannot be a path"),
        (["--target-ms", "5", "--data", "x" * 5000], "data 'xxx.* cannot be a path: File name too long"),
        (["--target-ms", "5", "--data", "."], r"holds no images: looked for .*/train/<class>"),
        (["--target-ms", "5", "--trials", "0"], "trials is 0; expected a whole number of at least 1"),
        (["--target-ms", "5", "--trials", "2.5"], "--trials.*'2.5'"),
        (["--target-ms", "5", "--resolution", "0"], "resolution is 0; expected a whole number of at least 1"),
        (["--target-ms", "5", "--resolution", "3"], "resolution 3 cannot give.*expected at least 4"),
        (["--target-ms", "5", "--resolution", "9999999"], "resolution is 9999999; expected at most 4096"),
        (["--target-ms", "5", "--proxy-resolution", "1"], "proxy-resolution is 1; expected .* at least 2"),
        (["--target-ms", "5", "--proxy-resolution", "99999"], "proxy-resolution is 99999; expected at most 1024"),
        (["--target-ms", "5", "--proxy-samples", "5"], "proxy-samples is 5; expected .* at least 10"),
        (["--target-ms", "5", "--classes", "1"], "classes is 1; expected a whole number of at least 2"),
        (["--target-ms", "5", "--classes", "4"], "--classes is 4, but digits .* has 10 classes"),
        (["--target-ms", "5", "--threads", "0"], "threads is 0; expected a whole number of at least 1"),
        (["--target-ms", "5", "--threads", "100000"], "threads is 100000; expected at most 1024"),
        (["--target-ms", "5", "--epochs", "0"], "epochs is 0; expected a whole number of at least 1"),
        (["--target-ms", "5", "--confirm", "-1"], "confirm is -1; expected a whole number of at least 0"),
        (["--target-ms", "5", "--seed", "-1"], "seed is -1; expected a whole number of at least 0"),
        (["--target-ms", "5", "--seed", str(2**70)], "seed is 1180591620717411303424; expected at most"),
        (["--target-ms", "5", "--alpha", "1"], "alpha is 1.0; expected a number from -10 to 0"),
        (["--target-ms", "5", "--beta", "nan"], "beta is nan; expected a finite number"),
        (["--target-ms", "5", "--max-latency-factor", "0.5"], "max-latency-factor is 0.5; expected a number from 1"),
        (["--target-ms", "5", "--max-latency-factor", "inf"], "max-latency-factor is inf; expected a finite"),
        (["--target", "cpu=9", "--target-ms", "5"], "--target and --target-ms exclude each other"),
        (["--target", "cpu=9", "--device", "cpu"], "--target and --device exclude each other"),
        (["--target", "cpu"], "--target is 'cpu'; expected DEVICE=MILLISECONDS"),
        (["--target", "cpu=9", "--target", "nexus9=5"], "device 'nexus9' matches no attached phone"),
        (["--target", "cpu=9", "--target", "cpu:litert=5", "--objective", "pareto"], "takes one device"),
        (["--resume", "a", "--out", "b"], "--out and --resume exclude each other"),
        (["--resume", "nothing-here"], "nothing-here is not a run folder: it has no run.json"),
        (["--resume", "~nobody-here"], "run folder '~nobody-here' cannot be a path"),
    ],
)  # fmt: skip
def test_search_refuses(refused, arguments, words):
    named = {"--device", "--resume", "--target"}
    device = [] if named & set(arguments) else ["--device", "cpu"]
    refused(words, "nas-search", *arguments, *device)


def test_search_refuses_an_out_that_is_taken(refused, run_folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for out, words in [
        ("file", "--out file: file is a file; expected a folder"),
        ("file/below/it", "--out file/below/it: .*file is a file; expected a folder"),
        ("full", "full exists already; choose another --out"),
        ("link", "--out link is a link to nothing"),
        ("a-run", "a-run exists already; go on with it by --resume a-run"),
        ("~nobody-here/x", "--out '~nobody-here/x' cannot be a path"),
        ("x" * 300, "--out 'xxx.* cannot be a path: File name too long"),
    ]:
        refused(words, "nas-search", "--target-ms", 5, "--device", "cpu", "--out", out)


SPACE = "format: 1\nchoices: {op: [mbconv3, mbconv6]}\nblocks:\n  - {stride: 1, channels: 8, layers: 1}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is None; expected a mapping"),
        ("[", "is not YAML"),
        ("[" * 3000, "is not YAML"),
        ("a: &a [*a]\n", "has no format; expected format: 1"),
        ("format: 2001-99-99\n", "has format '2001-99-99'"),
        ("format: !!python/object:os.system 1\n", "is not YAML: could not determine a constructor"),
        ("format: !!map 1\n", "is not YAML"),
        (SPACE.replace("format: 1", "format: 2"), "has format 2; this version reads format 1; a newer version"),
        (SPACE.replace("format: 1", "format: " + "9" * 5000), "is not YAML: Exceeds the limit"),
        (SPACE.replace("format: 1", "format: 0x" + "f" * 9000), "has format a number of 36000 bits"),
        (SPACE + "format: 1\n", "line 5: the key 'format' is there twice"),
        (SPACE + "stems: 8\n", r"key is 'stems'; expected one of .*did you mean stem\?"),
        (SPACE + "stem: [8]\n", r"stem|in_channels is \[8\]; expected a whole number"),
        (SPACE + "resolution: .nan\n", "resolution is nan; expected a whole number"),
        (SPACE + "bn_epsilon: 1" + "0" * 400 + "\n", "bn_epsilon is a number of 1329 bits; expected a finite"),
        (SPACE + "activation: [relu]\n", r"activation is \['relu'\]; expected one of hswish, relu"),
        (SPACE + "name: 7\n", "name is 7; expected text"),
        (SPACE.replace("mbconv3", "mbconv0"), r"choices.op\[1\] is 'mbconv0'; expected conv, dsconv"),
        (SPACE.replace("mbconv3", "mbconv6"), r"choices.op has a value twice"),
        (SPACE.replace("op: [", "width: [1.0e+308], op: ["), r"width\[1\] is 1e\+308; expected a number from 0 to 10000"),
        (SPACE.replace("op: [", "width: [.inf], op: ["), r"width\[1\] is inf; expected a finite number"),
        (
            SPACE.replace("op: [", "width: [1, 99], op: [").replace("channels: 8", "channels: 90000"),
            "out_channels is 8910000; expected at most 1000000",
        ),
        (SPACE.replace("stride: 1", "stride: 3"), r"blocks\[1\].stride is 3; expected at most 2"),
        (SPACE.replace("layers: 1", "layers: yes"), r"blocks\[1\].layers is True; expected a whole number"),
        ("format: 1\nchoices: {op: [conv]}\nblocks: []\n", "blocks is empty; expected at least one block"),
        ("format: 1\nblocks: [1]\n", r"blocks\[1\] is 1; expected a mapping"),
    ],
)  # fmt: skip
def test_search_refuses_spaces(refused, tmp_path, text, words):
    (tmp_path / "my.yaml").write_text(text)
    refused(
        rf"my\.yaml: .*({words})", "nas-search", "--target-ms", 5, "--device", "cpu", "--space", "my.yaml"
    )


def test_search_refuses_a_space_that_is_no_text(refused, tmp_path):
    (tmp_path / "my.yaml").write_bytes(b"\xff\xfe\x00")
    refused("my.yaml is not UTF-8 text", "nas-search", "--target-ms", 5, "--space", "my.yaml")


def test_search_checks_its_full_training_first(refused):
    begin = ["nas-search", "--target-ms", "5"]
    refused("--train-best is -1; expected a whole number of at least 0", *begin, "--train-best", "-1")
    refused("recipe is 'sgd'; expected one of", *begin, "--train-best", "1", "--train-recipe", "sgd")
    refused("--train-epochs is 0; expected", *begin, "--train-best", "1", "--train-epochs", "0")
