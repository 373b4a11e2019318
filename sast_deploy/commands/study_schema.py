"""What `sast-deploy sweep --help` says of a study's file."""

SCHEMA = """
A study is a TOML file. [study] has a name; every [[grid]] is multiplied out over its axes, each a value or
a list: data, network, recipe, seed, and any value of a recipe (rho, epochs, lr, pairing, ...) or of a
network (k, alpha, theta, reset). profiles, circuits (cycles of a profile's RTL),
analyses and ablations are measured of each of its runs. Tables
[data.NAME], [network.NAME], [recipe.NAME] and [finetune.NAME] define names beyond the built-in ones:

\b
  [study]
  name = "first"
  [data.small]
  dataset = "digits-saccade"
  train = 300
  [recipe.same-batch]
  base = "paper"
  pairing = "same"
  [[grid]]
  data = "small"
  recipe = ["paper", "same-batch"]
  rho = [0.0, 0.3]
  epochs = 20
  seed = [0, 1, 2]
  profiles = ["loihi-int8", "loihi-int4", "loihi-int4 calibrated"]
  analyses = ["drop", "margins"]
"""
