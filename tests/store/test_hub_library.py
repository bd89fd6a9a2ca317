"""What a pull takes of huggingface_hub beside its documented functions. A change there shows here, not at a user's."""

from __future__ import annotations

import inspect
import io

from huggingface_hub import constants, file_download, get_hf_file_metadata, hf_hub_url, utils

from rung.store import _child


def test_a_transfer_appends_to_an_open_file_from_where_it_stands():
    parameters = inspect.signature(file_download.http_get).parameters
    assert list(parameters)[:2] == ["url", "temp_file"]
    assert {"resume_size", "headers", "expected_size"} <= set(parameters)


def test_the_size_of_a_piece_is_read_when_the_transfer_runs():
    """Else setting it would do nothing, and what breaks off would cost 10 MiB."""
    assert isinstance(constants.DOWNLOAD_CHUNK_SIZE, int)
    assert "constants.DOWNLOAD_CHUNK_SIZE" in inspect.getsource(file_download)
    assert _child._CHUNK < 10 << 20


def test_headers_and_refusals_are_helpers_of_theirs():
    assert isinstance(utils.build_hf_headers(token=False), dict)
    assert callable(utils.hf_raise_for_status)


def test_size_and_entity_tag_come_of_the_files_metadata():
    assert "timeout" in inspect.signature(get_hf_file_metadata).parameters
    assert {"size", "etag"} <= set(file_download.HfFileMetadata.__dataclass_fields__)
    assert hf_hub_url("owner/repo", "f.gguf", revision="abc").endswith("/owner/repo/resolve/abc/f.gguf")


def test_a_transfer_is_given_what_it_needs(monkeypatch):
    given = {}
    monkeypatch.setattr(
        file_download, "http_get", lambda url, part, **settings: given.update(settings, url=url, part=part)
    )
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", constants.DOWNLOAD_CHUNK_SIZE)
    part = io.BytesIO()
    _child._transfer(_child._Url("http://127.0.0.1:9/f", "move"), part, 5, 9)
    assert given == {
        "url": "http://127.0.0.1:9/f",
        "part": part,
        "resume_size": 5,
        "headers": {"Accept-Encoding": "identity"},
        "expected_size": 9,
    }
    assert constants.DOWNLOAD_CHUNK_SIZE == _child._CHUNK
