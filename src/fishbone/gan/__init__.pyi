from .methods.centralised import Centralised as Centralised
from .methods.fsl_gan import FslGan as FslGan
from .quality.frechet import FeatureSpace as FeatureSpace
from .setting import Population as Population
from .setting import Setting as Setting
