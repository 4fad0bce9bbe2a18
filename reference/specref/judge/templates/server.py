"""An adapter for two servers: one that speculates, and one with the same target that does not.

    specref validate my_adapter.py:Mine --budget 900

Servers that run already need no file:

    specref validate http://127.0.0.1:8000 --baseline http://127.0.0.1:8001 --budget 900

The judge speaks OpenAI's /v1/completions and llama.cpp's /completion. It sends requests to these
addresses and to no other.
"""

from specref.judge.contract import Server


class Mine(Server):
    name = "mine"
    lossless = True  # False: your server changes the distribution on purpose
    # ---- your servers: write their addresses here, or start them in `start`
    url = "http://127.0.0.1:8000"
    baseline = "http://127.0.0.1:8001"  # "": there is none, and the judge sees less
    draft = ""  # of a server with the draft model: smaller faults towards it are found
    model = ""  # the model's name in requests; "": the first that the server lists
    # headers = {"Authorization": f"Bearer {os.environ['MY_KEY']}"}
    # timeout = 60.0  # seconds for one answer
    # prompts = ["def area("]  # where to start, if the server writes nothing after "a"

    def start(self) -> None:
        """Servers that run need nothing here. Otherwise start them and wait until they answer:

        self.process = subprocess.Popen(["my-server", "--port", "8000", "--draft", "..."])
        """

    def close(self) -> None:
        """Stop what `start` started, for example self.process.terminate()."""
