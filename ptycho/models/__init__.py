"""The two networks, how they are kept on disk, and what inference needs of them."""
