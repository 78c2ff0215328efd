from .likelihoods import Bernoulli as Bernoulli
from .likelihoods import Gaussian as Gaussian
from .likelihoods import Likelihood as Likelihood
from .likelihoods import Softmax as Softmax
from .protocol import Estimator as Estimator
