"""`rung serve`: a ladder as one model behind OpenAI's API, on this machine. It needs the extra `serve`.

Nothing of it is imported by `import rung`, nor by any other command.
"""
