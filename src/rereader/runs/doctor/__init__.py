"""Checks of ``rereader doctor``: the installation, the machine, the models, the workspace."""
