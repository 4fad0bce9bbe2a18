"""An adapter for servers, to be judged over HTTP: one that speculates, and one of the same target
that does not.

    specref validate my_adapter.py:Mine --budget 900

For servers that run already no file is needed:

    specref validate http://127.0.0.1:8000 --baseline http://127.0.0.1:8001 --budget 900

The judge speaks OpenAI's /v1/completions and llama.cpp's /completion, and sends nothing to any
address but these two.
"""

from specref.judge.contract import Server


class Mine(Server):
    name = "mine"
    # False if it is meant to change the target's distribution: then it is reported as such
    lossless = True
    # ---- your servers: write their addresses here, or bring them up in `start`
    # ------------------------------------------
    url = "http://127.0.0.1:8000"
    # "" where there is none: then fewer distributions can be judged
    baseline = "http://127.0.0.1:8001"
    model = ""  # the name to send in requests; "": the first that the server lists
    # headers = {"Authorization": "Bearer ..."}  # better from os.environ than in a file timeout =
    # 60.0  # seconds that one answer may take prompts = ["def area("]  # texts or lists of ids to
    # start from, where the server writes nothing after "a"

    def start(self) -> None:
        """Nothing to do for servers that run. Otherwise, for example:

        self.process = subprocess.Popen(["my-server", "--port", "8000", "--draft", "..."])
        and wait until it answers.
        """

    def close(self) -> None:
        """Take down what `start` brought up: self.process.terminate()"""
