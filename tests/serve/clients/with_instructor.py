"""instructor: a pydantic model out of a chat completion, by tools and by JSON Schema."""

import os

import instructor
import openai
from pydantic import BaseModel

MODEL = os.environ.get("RUNG_TEST_MODEL", "rung")


class Person(BaseModel):
    name: str
    age: int


for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
    client = instructor.from_openai(openai.OpenAI(max_retries=0), mode=mode)
    person = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Ada is 36 years old."}], response_model=Person
    )
    assert isinstance(person, Person)
print("all right")
