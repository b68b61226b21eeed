"""Publishing to the Hugging Face Hub.

``rules``, ``refuse`` and ``image_metadata`` say what must not leave, ``stage`` writes the files as
they are sent, ``facts``, ``card`` and ``croissant`` describe them, ``prepare`` does all that, and
``publish`` brings it there with ``upload`` and reads it back with ``check``. ``results`` and
``model_card`` do the same for results of ``bench`` and for checkpoints.
"""
