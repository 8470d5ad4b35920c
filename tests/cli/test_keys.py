import os
import pty

from egomon.cli.keys import Keys


def test_keys_are_read_one_by_one_without_enter_and_the_terminal_is_put_back() -> None:
    import termios

    master, slave = pty.openpty()
    try:
        before = termios.tcgetattr(slave)
        with Keys(slave) as keys:
            assert keys.pressed() == ""
            os.write(master, b"rq")
            assert keys.pressed() == "rq"
            assert keys.pressed() == ""
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


def test_what_is_no_terminal_gives_no_keys() -> None:
    read, write = os.pipe()
    try:
        os.write(write, b"q")
        with Keys(read) as keys:
            assert keys.pressed() == ""
    finally:
        os.close(read)
        os.close(write)
