"""Other people's NetX files -> the network that stock Lava runs -> a program."""
