"""Training: streaming int8 models for the device, from speech to model card.

Needs the dependency group `train`; nothing else in the project does. What every model shares is
`mixednet` (the network), `fit` (the loop), `streaming` (int8, step by step), `check` (the same as
TensorFlow Lite Micro), `work` and `progress` (stages that are kept, and shown), `card`.
"""
