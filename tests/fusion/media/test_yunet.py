"""The detector of faces: what it makes of its network's outputs, and of files that are no such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from egomon.errors import ConfigError
from egomon.fusion.media.yunet import YuNet
from egomon.stream.pictures.scaling import scaled

onnx = pytest.importorskip("onnx")
helper, TensorProto = onnx.helper, onnx.TensorProto


def bright_is_a_face(path: Path) -> Path:
    """A model of YuNet's form for which each cell of 8 dots with much blue is a face."""
    nodes: list[Any] = []
    outputs: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, kind: int, *values: float) -> str:
        constants.append(helper.make_tensor(name, kind, [len(values)], values))
        return name

    def node(kind: str, given: list[str], made: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, given, [made], **attributes))
        return made

    blue = constant("blue", TensorProto.INT64, 0)
    for stride in (8, 16, 32):
        cells, end = (640 // stride) ** 2, f"_{stride}"
        share = constant("share" + end, TensorProto.FLOAT, 1 / 255 if stride == 8 else 0.0)
        column = constant("column" + end, TensorProto.INT64, 1, cells, 1)
        zero = constant("zero" + end, TensorProto.FLOAT, 0.0)
        square = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
        level = node("AveragePool", ["input"], "level" + end, **square)
        level = node("Mul", [level, share], "scaled" + end)
        level = node("Gather", [level, blue], "first" + end, axis=1)
        scores = [node("Reshape", [level, column], name + end) for name in ("cls", "obj")]
        none = node("Mul", [scores[0], zero], "none" + end)
        node("Concat", [none] * 4, "bbox" + end, axis=2)
        node("Concat", [none] * 10, "kps" + end, axis=2)
        outputs += [
            helper.make_tensor_value_info(name + end, TensorProto.FLOAT, [1, cells, width])
            for name, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
        ]
    return save(path, nodes, outputs, constants)


def same_for_any_picture(path: Path, **outputs: NDArray[np.float32]) -> Path:
    """A model with YuNet's input and outputs that gives what it was made from."""
    nodes = [helper.make_node("ReduceMax", ["input"], ["top"], keepdims=0)]
    nodes.append(helper.make_node("Mul", ["top", "zero"], ["nothing"]))
    constants = [helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])]
    shown = []
    for name, values in outputs.items():
        shape = [1, *values.shape]
        constants.append(helper.make_tensor(f"{name}_is", TensorProto.FLOAT, shape, values.ravel()))
        nodes.append(helper.make_node("Add", ["nothing", f"{name}_is"], [name]))
        shown.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return save(path, nodes, shown, constants)


def guesses(faces: int) -> dict[str, NDArray[np.float32]]:
    """Outputs with so many likely faces in each size of cells, most of them beside another."""
    rng = np.random.default_rng(3)
    found: dict[str, NDArray[np.float32]] = {}
    for stride in (8, 16, 32):
        across = 640 // stride
        cells = across * across
        scores = rng.uniform(-0.2, 0.4, (2, cells, 1))
        first = rng.integers(0, cells - 1, faces)
        for at in (first, first + 1):
            scores[:, at] = rng.uniform(0.3, 1.2, (2, faces, 1))
        for name, values in zip(("cls", "obj"), scores, strict=True):
            found[f"{name}_{stride}"] = values.astype(np.float32)
        boxes = rng.normal((0, 0, 1, 1.2), 0.4, (cells, 4))
        found[f"bbox_{stride}"] = boxes.astype(np.float32)
        found[f"kps_{stride}"] = rng.normal(0, 1, (cells, 10)).astype(np.float32)
    return found


def save(path: Path, nodes: list[Any], outputs: list[Any], constants: list[Any]) -> Path:
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 640, 640])
    graph = helper.make_graph(nodes, "model", [given], outputs, constants)
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


def test_faces_are_told_in_the_pictures_own_pixels(tmp_path: Path) -> None:
    finder = YuNet(bright_is_a_face(tmp_path / "model.onnx"))
    picture = np.zeros((320, 640, 3), np.uint8)
    picture[160:168, 320:328] = (255, 255, 0)
    assert finder.find(picture) == []  # it reads BGR
    picture[160:168, 320:328] = 255
    ((x, y, w, h),) = finder.find(picture)
    assert (x + w / 2, y + h / 2) == pytest.approx((320, 160), abs=4)
    ((x, y, w, h),) = finder.find(scaled(picture, 320, 160))
    assert (x + w / 2, y + h / 2, w) == pytest.approx((160, 80, 4), abs=2)


@pytest.mark.parametrize("content", [None, b"", b"no model at all"])
def test_a_file_that_is_no_detector_is_refused_at_the_start(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "faces.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"evidence\.blur_faces: .*faces\.onnx .*onnx"):
        YuNet(path)


def test_another_model_is_refused_at_the_start(tmp_path: Path) -> None:
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 640, 640])
    nodes = [helper.make_node("Relu", ["input"], ["output"])]
    path = save(tmp_path / "relu.onnx", nodes, [output], [])
    with pytest.raises(ConfigError, match="is no YuNet model"):
        YuNet(path)


def test_it_finds_the_boxes_that_opencv_finds_with_the_same_model(tmp_path: Path) -> None:
    path = same_for_any_picture(tmp_path / "model.onnx", **guesses(15))
    theirs = cv2.FaceDetectorYN.create(str(path), "", (640, 640), score_threshold=0.5)
    _, rows = theirs.detect(np.zeros((640, 640, 3), np.uint8))
    ours = YuNet(path).find(np.zeros((640, 640, 3), np.uint8))
    assert 30 < len(ours) < 75  # some are below the least score, some show the face of another
    # OpenCV compares whole pixels for overlap, so the order of equals may differ.
    np.testing.assert_allclose(sorted(ours), sorted(map(tuple, rows[:, :4])), atol=1e-3)


def test_a_detector_that_gives_no_numbers_fails_instead_of_finding_no_face(tmp_path: Path) -> None:
    path = same_for_any_picture(tmp_path / "model.onnx", **guesses(1))
    finder = YuNet(path)
    outputs = guesses(1)
    outputs["obj_16"][7] = np.nan
    with pytest.raises(ConfigError, match=r"is no YuNet model \(the detector gives no numbers\)"):
        YuNet(same_for_any_picture(path, **outputs))
    assert finder.find(np.zeros((9, 640, 3), np.uint8))
