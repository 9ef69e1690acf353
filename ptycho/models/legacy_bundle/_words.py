"""What is said of files that cannot be read, and what their owner can do instead."""

WAY_OUT = (
    "let the program that trained it reconstruct the scan, save the image as an NPZ with reconstructed_object, "
    "reconstructed_probe and algorithm, and compare that, with `load_arm`"
)
FOREIGN_NETWORK = (
    "only PtychoPINN's convolutional networks are read from such a file, so save it as a .keras file and say in a "
    f".json beside it what its outputs are, or {WAY_OUT}."
)
STORED_AS_CODE = f"what it computes is stored as code, which is not run, so {WAY_OUT}."
OTHER_BACKEND = f"its weights belong to networks of PyTorch, which are not read, so {WAY_OUT}."
