"""The picture of some generated images."""

from pathlib import Path

import numpy as np
from PIL import Image

from fishbone.files import replacing


def write_grid(path: str | Path, images: np.ndarray, columns: int, zoom: int) -> None:
    """PNG of uint8 (N, H, W, C) images, row by row; C is 1 or 3, N a multiple of ``columns``."""
    count, height, width, channels = images.shape
    rows = images.reshape(count // columns, columns, height, width, channels)
    picture = rows.transpose(0, 2, 1, 3, 4).reshape(count // columns * height, columns * width, channels)
    picture = picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
    with replacing(path) as temporary:
        Image.fromarray(picture.squeeze(2) if channels == 1 else picture).save(temporary, format="PNG")
