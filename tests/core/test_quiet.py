"""Other libraries' loggers are as they were, whatever was loaded meanwhile."""

from __future__ import annotations

import logging

import pytest
import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from spade.core.quiet import LoggerLevel, hushed, no_root_handler


def state():
    libraries = diffusers_logging, transformers_logging
    root = logging.getLogger()
    return [(lib.get_verbosity(), lib.is_progress_bar_enabled()) for lib in libraries], list(root.handlers), root.level


@pytest.fixture
def talkative():
    before = [(lib, lib.get_verbosity()) for lib in (diffusers_logging, transformers_logging)]
    for lib, _ in before:
        lib.set_verbosity_info()
        lib.enable_progress_bar()
    yield
    for lib, verbosity in before:
        lib.set_verbosity(verbosity)


def test_loading_leaves_no_trace(talkative, capfd):
    from spade.diffusion.backbone import load_backbone
    from spade.diffusion.backbone_files import embedded_model
    from spade.diffusion.student import load_student
    from spade.open_vocabulary.clip import load_clip

    before = state()
    backbone = load_backbone("tiny", torch.device("cpu"), torch.float32)
    load_student(backbone, load_clip("tiny", torch.device("cpu")), embedded_model() / "adapter")
    assert state() == before
    assert capfd.readouterr().err == "", "and says nothing, though it was told to say all"


def test_an_error_leaves_no_trace(talkative):
    before = state()
    with pytest.raises(OSError, match="level 40"), hushed(diffusers_logging), no_root_handler():
        raise OSError(f"level {diffusers_logging.get_verbosity()}")
    assert state() == before


def test_a_level_is_put_back_by_the_last_who_leaves():
    logger = logging.getLogger("spade.test")
    logger.setLevel(logging.INFO)
    quiet = LoggerLevel("spade.test", logging.CRITICAL)
    with quiet:
        with quiet:
            assert logger.level == logging.CRITICAL
        assert logger.level == logging.CRITICAL
    assert logger.level == logging.INFO


def test_a_long_text_is_counted_without_a_warning(backbone, capfd):
    transformers_logging.set_verbosity_warning()
    assert backbone.token_count("a dog " * 100) == 202
    assert capfd.readouterr().err == ""
