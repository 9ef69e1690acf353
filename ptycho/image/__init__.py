"""Registration and cropping of complex images."""
