"""`read_samples` against NumPy and Pillow as writers: every pixel, label and name."""

import numpy as np
import pytest
from PIL import Image

from pathline.data import read_samples
from pathline.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
GREY, COLOUR = PIXELS[..., 0], PIXELS[..., :3]


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        read_samples(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def folder(tmp_path, **images):
    for name, image in images.items():
        path = tmp_path / "images" / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path)
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (GREY, GREY[None] / 255),
        (COLOUR, COLOUR.transpose(2, 0, 1) / 255),
        (PIXELS, COLOUR.transpose(2, 0, 1) / 255),
        (PIXELS[..., :2], GREY[None] / 255),
        (GREY.astype(np.uint16) * 257, GREY[None] / 255),
        (GREY > 127, (GREY > 127)[None] * 1.0),
        (
            Image.fromarray(COLOUR).quantize(200),
            np.asarray(Image.fromarray(COLOUR).quantize(200).convert("RGB")).transpose(2, 0, 1) / 255,
        ),
    ],
    ids=["grey", "colour", "transparent", "transparent grey", "16 bits", "black and white", "palette"],
)
def test_png_of_every_kind(image, expected, tmp_path):
    samples = read_samples(folder(tmp_path, a_png=image))
    assert samples.values.dtype == np.float32 and samples.labels is None and samples.title == "images"
    np.testing.assert_allclose(samples.values, expected[None], rtol=1e-6)


def test_grey_among_colours_gets_three_channels(tmp_path):
    path = folder(tmp_path, b_png=COLOUR, a_png=GREY, c_PNG=GREY.astype(np.uint16) * 257)
    samples = read_samples(path)
    grey = np.repeat(GREY[None], 3, axis=0)
    np.testing.assert_allclose(samples.values, np.stack([grey, COLOUR.transpose(2, 0, 1), grey]) / 255, rtol=1e-6)


def test_jpeg(tmp_path):
    smooth = np.broadcast_to(np.arange(0, 160, 10, dtype=np.uint8), (16, 16))
    samples = read_samples(folder(tmp_path, a_jpg=smooth, b_JPEG=smooth))
    assert samples.values.shape == (2, 1, 16, 16)
    np.testing.assert_allclose(samples.values[:, 0] * 255, np.stack([smooth, smooth]), atol=6)


def test_a_folder_for_each_class(tmp_path):
    path = folder(tmp_path, cat__2_png=GREY, cat__1_png=GREY // 2, dog__1_png=GREY // 3)
    (path / "empty").mkdir()
    (path / ".hidden").mkdir()
    (path / "notes.txt").write_text("by hand")
    samples = read_samples(path)
    assert samples.classes == ("cat", "dog") and samples.labels is not None and samples.labels.tolist() == [0, 0, 1]
    np.testing.assert_allclose(samples.values[:, 0] * 255, np.stack([GREY // 2, GREY, GREY // 3]), rtol=1e-5)


def test_image_refusals(tmp_path):
    (tmp_path / "none").mkdir()
    assert "holds no images; give a folder of .jpeg, .jpg, .png files" in refusal(tmp_path / "none")
    path = folder(tmp_path, a_png=GREY, b_png=GREY[:4])
    assert f"{path / 'b.png'} has 7x4 pixels and the images before it 7x5" in refusal(path)
    (path / "b.png").unlink()
    (path / "class").mkdir()
    assert "holds both images and folders (class)" in refusal(path)
    (path / "class").rmdir()
    content = (path / "a.png").read_bytes()
    for broken in (b"", b"GIF89a", content[:20], content[: len(content) // 2]):
        (path / "a.png").write_bytes(broken)
        assert "a.png cannot be read as an image" in refusal(path)
    (path / "a.png").unlink()
    (path / "a.png").symlink_to("/etc/passwd")
    assert "points elsewhere" in refusal(path)


def test_image_bomb(tmp_path, monkeypatch):
    path = folder(tmp_path, a_png=np.zeros((3000, 3000), bool))
    assert (path / "a.png").stat().st_size < 2**14
    monkeypatch.setattr("pathline.data.files.LARGEST", 2**24)
    assert "unpacks to" in refusal(path)


def archive(tmp_path, **arrays):
    np.savez(tmp_path / "draws.npz", **arrays)
    return tmp_path / "draws.npz"


def test_npz(tmp_path):
    values = np.random.default_rng(1).normal(size=(3, 2, 4))
    for name in ("samples", "x", "anything"):
        samples = read_samples(archive(tmp_path, y=[1, 0, 1], **{name: values}))
        np.testing.assert_array_equal(samples.values, values)
        assert samples.labels is not None and samples.labels.tolist() == [1, 0, 1] and samples.classes == ("0", "1")
    samples = read_samples(archive(tmp_path, x=values.astype(np.float32), labels=["dog", "cat", "dog"]))
    assert samples.values.dtype == np.float32 and samples.classes == ("cat", "dog")
    assert samples.labels is not None and samples.labels.tolist() == [1, 0, 1]
    assert read_samples(archive(tmp_path, x=values)).labels is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "has no array of samples (it holds nothing)"),
        ({"name": ["a"]}, "has no array of samples (it holds name)"),
        ({"y": [0, 1]}, "has no array of samples (it holds y)"),
        ({"x": ["a"]}, "{path}: The samples must be real numbers"),
        ({"x": 1.0}, "{path}: The samples must have the shape"),
        ({"x": np.ones((0, 2))}, "they have [0, 2]"),
        ({"x": [1, np.nan]}, "Entry [1] of the samples is not a finite number"),
        ({"x": [1, 2], "y": [0]}, "There are 1 labels for 2 samples"),
        ({"x": [1, 2], "y": [0.5, 1]}, "labels must be whole numbers"),
        ({"x": [1, 2], "y": [-1, 1]}, "there is -1"),
        ({"x": [1, 2], "y": ["a"]}, "There are 1 labels for 2 samples"),
        ({"x": np.asarray([{}], object)}, "Object arrays cannot be loaded"),
    ],
)
def test_npz_refusals(arrays, message, tmp_path):
    path = archive(tmp_path, **arrays)
    assert message.format(path=path) in refusal(path)


def test_no_such_file(tmp_path):
    assert "no file" in refusal(tmp_path / "draws.npz")
    assert "does not end in one of .npz" in refusal(tmp_path / "draws.xlsx")


def test_a_table_has_a_sample_in_each_row(tmp_path):
    path = tmp_path / "flowers.csv"
    path.write_text("length;width;Species\n1,5;2;b\n3;4;a\n5;6;b\n")
    found = read_samples(path)
    np.testing.assert_array_equal(found.values, [[1.5, 2], [3, 4], [5, 6]])
    assert found.classes == ("a", "b") and found.labels.tolist() == [1, 0, 1] and found.title == "flowers"
    (tmp_path / "plain.txt").write_text("1 2\n3 4\n")
    assert read_samples(tmp_path / "plain.txt").labels is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,y\n1,2\n3,\n", "Row 2 of column 'y'"),
        ("x,y\n1,2\n3,oops\n4,5\n", "Row 2 of column 'y' in .* is no number: 'oops'"),
        ("label\na\nb\n", "no column of numbers"),
    ],
)
def test_a_table_with_holes_is_refused(tmp_path, text, words):
    path = tmp_path / "draws.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_samples(path)


def test_columns_of_text_are_left_out_with_a_warning(tmp_path):
    path = tmp_path / "draws.csv"
    path.write_text("name,x\nAnn,1\nBob,2\n")
    with pytest.warns(UserWarning, match="Column 'name' of .* is text and left out"):
        found = read_samples(path)
    np.testing.assert_array_equal(found.values, [[1], [2]])
