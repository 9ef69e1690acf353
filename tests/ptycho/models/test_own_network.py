"""A network of one's own: what goes in, what comes out, and what is said where it cannot be known."""

import numpy as np
import pytest
from own_networks import SIDE, known_keras, known_patches, random_frames

from ptycho.errors import DataError, SettingsError
from ptycho.models import NetworkDescription, build_network
from ptycho.models.networks import Architecture
from ptycho.models.own_network import network_of_callable, network_of_keras
from ptycho.models.patch_model import PatchModel

POLAR = NetworkDescription(outputs=("amplitude", "phase"))


class Tensor:
    """As a tensor of PyTorch that has a gradient: no array until it is detached and on the host."""

    def __init__(self, values, steps=()):
        self.values, self.steps = values, steps

    def detach(self):
        return Tensor(self.values, (*self.steps, "detach"))

    def cpu(self):
        return Tensor(self.values, (*self.steps, "cpu"))

    def __array__(self, dtype=None, copy=None):
        assert self.steps == ("detach", "cpu")
        return self.values


FORMS = {
    "complex": (("complex",), lambda a, p: (a * np.exp(1j * p))[..., 0]),
    "complex with a channel": (("complex",), lambda a, p: a * np.exp(1j * p)),
    "complex128": (("complex",), lambda a, p: (a * np.exp(1j * p)).astype(complex)),
    "two arrays": (("amplitude", "phase"), lambda a, p: [a, p]),
    "a tuple without channels": (("amplitude", "phase"), lambda a, p: (a[..., 0], p[..., 0])),
    "the other way round": (("phase", "amplitude"), lambda a, p: (p, a)),
    "two channels last": (("amplitude", "phase"), lambda a, p: np.concatenate([a, p], axis=-1)),
    "two channels first": (("phase", "amplitude"), lambda a, p: np.stack([p[..., 0], a[..., 0]], axis=1)),
    "a dictionary in another order": (("amplitude", "phase"), lambda a, p: {"phase": p, "amplitude": a}),
    "real and imaginary": (("real", "imaginary"), lambda a, p: (a * np.cos(p), a * np.sin(p))),
    "imaginary first": (("imaginary", "real"), lambda a, p: (a * np.sin(p), a * np.cos(p))),
    "tensors with a gradient": (("amplitude", "phase"), lambda a, p: (Tensor(a), Tensor(p))),
}


@pytest.mark.parametrize("form", FORMS)
def test_whatever_form_its_images_have_they_make_the_same_patches(form):
    outputs, give = FORMS[form]
    model = network_of_callable(
        lambda frames: give(2 * frames + 1, frames / 4),
        name="own",
        description=NetworkDescription(outputs=outputs),
    )
    frames = random_frames()
    patches = model.predict_batch(frames)
    assert (patches.shape, patches.dtype) == ((3, SIDE, SIDE), np.complex64)
    np.testing.assert_allclose(patches, known_patches(frames)[..., 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("scaling", "factor", "expected"),
    [
        ("normalised", 1.0, lambda x: 7 * x),
        ("amplitude", 0.5, lambda x: x / 2),
        ("intensity", 0.25, lambda x: x * x / 4),
    ],
)
def test_frames_enter_in_the_unit_that_the_network_was_trained_in(scaling, factor, expected):
    model = network_of_callable(
        np.asarray, name="own", description=NetworkDescription(input_scaling=scaling, input_factor=factor)
    )
    amplitude = random_frames()
    entered = model.inputs_of(amplitude, normalisation=7.0)
    assert entered.dtype == np.float32
    np.testing.assert_allclose(entered, expected(amplitude), rtol=1e-6)


def test_the_patches_of_a_group_are_merged_as_those_of_a_pinn_are():
    architecture = Architecture(kind="pinn", patch_size=64, gridsize=2, n_filters_scale=0.25)
    pinn = PatchModel(build_network(architecture), architecture)
    own = network_of_callable(
        pinn.images_of,
        name="own",
        description=NetworkDescription(outputs=("amplitude", "phase"), gridsize=2),
    )
    frames = random_frames(2, 64, 4)
    offsets = np.random.default_rng(5).uniform(-4, 4, (2, 4, 2))
    np.testing.assert_array_equal(own.predict_batch(frames, offsets), pinn.predict_batch(frames, offsets))


@pytest.mark.parametrize(
    ("give", "complaint"),
    [
        (lambda x: x[..., 0], r"own gave \(3, 16, 16\) of float32 \(.*1 channels are no two images"),
        (lambda x: [x, x, x], r"\(3 arrays\) but is described as giving amplitude and phase"),
        (lambda x: [x + 0j, x], r"complex numbers for amplitude"),
        (lambda x: [x.ravel(), x], r"shape \(768,\) is none of \(B, N, N\)"),
        (lambda x: [x[:2], x[:2]], r"patches of shape \(2, 16, 16, 1\) of frames of shape \(3, 16, 16, 1\)"),
        (
            lambda x: [x[:, 4:-4, 4:-4]] * 2,
            r"\(3, 8, 8, 1\) of frames .* as large as the frames, .* pad or crop",
        ),
        (lambda x: [np.repeat(x, 3, -1)] * 2, r"of shape \(3, 16, 16, 3\) .* check its gridsize"),
        (lambda x: x.missing, r"own failed on frames of shape \(3, 16, 16, 1\) \(AttributeError: "),
        (
            lambda x: x.reshape(7),
            r"own failed on frames of shape \(3, 16, 16, 1\) \(ValueError: cannot reshape",
        ),
        (
            lambda x: np.load("/no/such/weights"),
            r"own failed on frames .*\(FileNotFoundError: .*no/such/weights",
        ),
    ],
)
def test_what_is_no_patch_is_told_in_a_sentence(give, complaint):
    model = network_of_callable(give, name="own", description=POLAR)
    with pytest.raises(DataError, match=complaint):
        model.predict_batch(random_frames())


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match=r"own is 'unet.pt' but must be a function from frames"):
        network_of_callable("unet.pt", name="own")


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"outputs": ("phase",)}, r"outputs is \('phase',\) but must be \('complex',\)"),
        ({"outputs": "amplitude"}, "outputs is 'amplitude' but must be"),
        ({"outputs": ("amplitude", "imaginary")}, "the latter two in the order of the network"),
        ({"input_scaling": "counts"}, "input_scaling is 'counts' but must be"),
        ({"input_factor": 0}, "input_factor is 0 but must be a finite number above 0"),
        ({"gridsize": 1.5}, "gridsize is 1.5 but must be a whole number"),
        ({"patch_size": 0}, "patch_size is 0 but must be"),
        ({"trusted_crop_size": True}, "trusted_crop_size is True but must be"),
        (
            {"trusted_crop_size": 99, "patch_size": 64},
            "trusted_crop_size is 99 but must be at most 64, the side",
        ),
    ],
)
def test_a_description_checks_its_fields(wrong, complaint):
    with pytest.raises(SettingsError, match=complaint):
        NetworkDescription(**wrong)


def test_a_keras_model_says_by_its_names_what_its_outputs_are(caplog):
    model = network_of_keras(known_keras(("amp_out", "object_phi")), name="own")
    assert model.description == NetworkDescription(outputs=("amplitude", "phase"), patch_size=SIDE)
    (assumption,) = model.assumptions
    assert "taken as amplitude and phase, by their names, its input as normalised amplitude" in assumption
    assert assumption in caplog.text
    frames = random_frames()
    np.testing.assert_allclose(model.predict_batch(frames), known_patches(frames)[..., 0], rtol=1e-5)


def test_names_in_another_order_are_followed():
    # The layer that is called phase gives 2x + 1 here.
    model = network_of_keras(known_keras(("phase", "amplitude")), name="own")
    frames = random_frames()
    np.testing.assert_allclose(
        model.predict_batch(frames)[..., None], frames / 4 * np.exp(1j * (2 * frames + 1)), rtol=1e-5
    )


@pytest.mark.parametrize(
    "names", [None, ("amplitude", "image"), ("amplitude", "amp"), ("amp_phase", "phase")]
)
def test_names_that_do_not_say_it_lead_to_one_sentence_and_no_guess(names):
    with pytest.raises(DataError, match=r"what the images are; pass NetworkDescription\(outputs=\("):
        network_of_keras(known_keras(names), name="own")


def test_a_described_keras_model_of_four_channels_and_one_joint_output_works():
    model = network_of_keras(
        known_keras(joint=True, channels=4),
        name="own",
        description=NetworkDescription(outputs=("amplitude", "phase"), gridsize=2),
    )
    assert (model.patch_size, model.gridsize, model.assumptions) == (SIDE, 2, ())
    frames = random_frames(channels=4)
    amplitude, phase = model.images_of(frames)
    np.testing.assert_allclose(amplitude * np.exp(1j * phase), known_patches(frames), rtol=1e-5)


@pytest.mark.parametrize(
    ("description", "complaint"),
    [
        (NetworkDescription(), "gives 2 outputs .* but is described as giving complex"),
        (
            NetworkDescription(outputs=("real", "imaginary"), gridsize=2),
            "takes 1 channels but is described with",
        ),
        (
            NetworkDescription(outputs=("real", "imaginary"), patch_size=32),
            "frames of 16 pixels but is described",
        ),
    ],
)
def test_a_description_that_does_not_fit_the_model_is_refused(description, complaint):
    with pytest.raises(DataError, match=complaint):
        network_of_keras(known_keras(), name="own", description=description)


def test_a_keras_model_of_any_n_takes_every_n_and_has_a_cost():
    model = network_of_keras(known_keras(side=None), name="own")
    assert model.patch_size is None
    frames = random_frames(side=24)
    np.testing.assert_allclose(model.predict_batch(frames), known_patches(frames)[..., 0], rtol=1e-5)
    small, large = (model.batch_cost((side, side, 1)).bytes_per_item for side in (24, 48))
    assert 3 * small < large < 5 * small


def test_a_model_of_two_inputs_is_refused():
    import keras

    frames, probe = keras.Input((SIDE, SIDE, 1)), keras.Input((SIDE, SIDE, 1))
    model = keras.Model([frames, probe], keras.layers.Add()([frames, probe]))
    with pytest.raises(
        DataError, match="takes 2 inputs but must take one, the frames; wrap it in a function"
    ):
        network_of_keras(model, name="own")
