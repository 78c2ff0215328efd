from .dataset import Dataset as Dataset
from .dataset import load_dataset as load_dataset
from .dataset import save_dataset as save_dataset
