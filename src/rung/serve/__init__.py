"""`rung serve`: a ladder as one model behind OpenAI's API, on this machine. It needs the extra `serve`.

`import rung` and other commands import nothing of it.
"""
