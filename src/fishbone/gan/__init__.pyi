from .frechet import FeatureSpace as FeatureSpace
