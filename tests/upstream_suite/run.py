"""Runs MLflow's own tests twice, direct and through Trackgate as an administrator, and compares.

    python tests/upstream_suite/run.py CHECKOUT [TEST ...]     (with TRACKGATE_BINARY)

CHECKOUT is a checkout of mlflow/mlflow at the tag of the installed version; see README.md. Only what fails through
Trackgate is run direct. A test that passes direct and not through Trackgate, and is not named in docs/differences.md, ends the
run with code 1.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as tree

HERE = pathlib.Path(__file__).resolve().parent
DIFFERENCES = HERE.parent.parent / "docs" / "differences.md"
TESTS = [
    "tests/tracking/test_rest_tracking.py",
    "tests/tracking/test_mlflow_artifacts.py",
    "tests/tracking/test_model_registry.py",
    "tests/tracking/test_client_webhooks.py",
    "tests/tracing/test_otel_logging.py",
]


def run(checkout, tests, through):
    """The outcome of each test: passed, failed or skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-o", "addopts=", f"--junitxml={report}"]
        # What asks addresses outside may wait for ever where there are none.
        command += ["--timeout=300"]
        command += ["-p", "in_front"] if through else []
        paths = [str(checkout), str(HERE), os.environ.get("PYTHONPATH", "")]
        # Some tests start `mlflow` by its name.
        programs = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")])
        environment = {**os.environ, "PATH": programs, "PYTHONPATH": os.pathsep.join(paths), "MLFLOW_TELEMETRY_DISABLED": "1"}
        subprocess.run([*command, *tests], cwd=checkout, env=environment, check=False)
        found = {}
        for case in tree.parse(report).iter("testcase"):
            bad = case.find("failure") is not None or case.find("error") is not None
            outcome = "failed" if bad else "skipped" if case.find("skipped") is not None else "passed"
            file = case.get("classname").replace(".", "/") + ".py"
            found[f"{file}::{case.get('name')}"] = outcome
        return found


def main():
    checkout = pathlib.Path(sys.argv[1]).resolve()
    tests = sys.argv[2:] or [test for test in TESTS if (checkout / test).exists()]
    gate = run(checkout, tests, through=True)
    failed = [test for test, outcome in gate.items() if outcome == "failed"]
    direct = run(checkout, failed, through=False) if failed else {}
    ours = [test for test in failed if direct.get(test) == "passed"]
    named = re.findall(r"^\| `(test_\w+[^`]*)`", DIFFERENCES.read_text(), re.MULTILINE)
    unnamed = [test for test in ours if test.partition("::")[2] not in named]
    count = {outcome: list(gate.values()).count(outcome) for outcome in ("passed", "failed", "skipped")}
    print(f"through Trackgate: {count}; of those that failed, {len(ours)} pass direct:")
    for test in ours:
        print(f"    {test}{'' if test in unnamed else ' (named)'}")
    sys.exit(1 if unnamed else 0)


if __name__ == "__main__":
    main()
