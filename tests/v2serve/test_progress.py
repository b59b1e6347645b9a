"""A log gets a line for each file; a terminal gets one line that is written over."""

import io

from v2serve.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_has_one_line_for_each_verified_file() -> None:
    log = io.StringIO()
    progress = Progress(log)
    progress("model.onnx", 1 << 20, False)
    progress("model.onnx", 3 << 20, True)
    progress("empty", 0, True)
    progress.end()
    assert log.getvalue() == "v2serve: model.onnx: 3.0 MiB verified\nv2serve: empty: 0 bytes verified\n"


def test_a_terminal_has_one_line_that_is_empty_at_the_end() -> None:
    terminal = Terminal()
    progress = Progress(terminal)
    progress("model.onnx", 1 << 20, False)
    progress("model.onnx", 2 << 20, False)  # too soon after the first to be shown
    progress.end()
    assert terminal.getvalue() == "\r\x1b[Kv2serve: 1 files, 1.0 MiB\r\x1b[K"
    assert "\n" not in terminal.getvalue()
