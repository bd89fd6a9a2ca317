"""langchain-openai, pydantic-ai and `llm`, unpatched: text, structured output, tools, streams."""

import os
import pathlib
import subprocess
import sys

from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel

MODEL = os.environ.get("RUNG_TEST_MODEL", "rung")
ASK = "Ada is 36 years old."


class Person(BaseModel):
    name: str
    age: int


def weather(city: str) -> str:
    """The weather in a city."""
    return f"It rains in {city}."


chat = ChatOpenAI(model=MODEL, max_retries=0)
assert chat.invoke("Is water wet?").content
assert "".join(str(chunk.content) for chunk in chat.stream("Is water wet?")).strip()
assert isinstance(chat.with_structured_output(Person).invoke(ASK), Person)
called = chat.bind_tools([weather], tool_choice="weather").invoke("What is the weather in Bonn?")
assert called.tool_calls[0]["name"] == "weather"

model = OpenAIChatModel(MODEL)
assert Agent(model).run_sync("Is water wet?").output
assert isinstance(Agent(model, output_type=Person).run_sync(ASK).output, Person)

pathlib.Path(os.environ["LLM_USER_PATH"], "extra-openai-models.yaml").write_text(
    f"- model_id: ours\n  model_name: {MODEL}\n  api_base: {os.environ['OPENAI_BASE_URL']}\n  api_key_name: ours\n"
)
program = pathlib.Path(sys.executable).with_name("llm")
said = subprocess.run(
    [str(program), "-m", "ours", "--key", os.environ["OPENAI_API_KEY"], "Is water wet?"],
    capture_output=True,
    text=True,
)
assert said.returncode == 0, said.stderr
assert said.stdout.strip(), said.stderr
print("all right")
