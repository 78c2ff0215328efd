"""The stage ``train``: a ResNet on a prepared data set."""
