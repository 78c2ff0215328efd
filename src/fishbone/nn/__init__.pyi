from .averages import weighted_mean as weighted_mean
from .models import build as build
from .models import load_model as load_model
from .models import save_model as save_model
from .optimiser import Optimiser as Optimiser
from .sidecar import Sidecar as Sidecar
