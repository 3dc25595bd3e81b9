"""Training views: random frames and pixels of a stored video, the same change for all frames of a clip."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from vidbench.data.classes import mirrored_name
from vidbench.data.stored import Timing, draw_positions, middle_positions
from vidbench.records import InputSpec

SCALES = (1.0, 0.875, 0.75, 0.66)  # of a multi-scale crop, times the largest square or rectangle that fits
PLACES = ((0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5))  # its corners and the middle, as shares of the room around it
FIXED = Timing()  # nothing but the start of a view is drawn
HUE = 3  # its number among the four changes of torchvision's colour jitter
NEVER = -1  # in ``mirror_classes`` and ``partner_classes``: such a clip is not mirrored, or not played backwards


@dataclass(frozen=True)
class Augmentation:
    """What chance may do to the pixels of a training view.

    Args:
        min_scale: smallest share of the picture's area that a random crop takes, in (0, 1]; its shape varies from 3:4
            to 4:3 times the view's. 1 takes a crop of the view's size, at a random place.
        multi_scale: ``MultiScaleCrop`` in its place.
        flip: mirror half of the clips, with the label that the mirrored clip has.
        jitter: strength of changes in brightness, contrast and saturation, 0 to 1; hue changes by a tenth of it.
        rotation: largest angle in degrees.
        rand_augment: magnitude of RandAugment's two operations, 0 to 30; 0 leaves it out.
        erase: probability that a rectangle is blanked, the same one in every frame.
        timing: which frames the view takes.
    """

    min_scale: float = 0.5
    multi_scale: bool = False
    flip: bool = True
    jitter: float = 0.2
    rotation: float = 0.0
    rand_augment: int = 0
    erase: float = 0.0
    timing: Timing = FIXED


class MultiScaleCrop(v2.Transform):
    """A crop at one of five places and of one of a few sizes, resized to the view.

    Height and width are drawn apart from ``SCALES``, at most one step from each other; places are the corners and the
    middle. As Temporal Segment Networks were trained, https://arxiv.org/abs/1608.00859, section 3.2.

    Args:
        crop: (height, width) of the view.
    """

    def __init__(self, crop: tuple[int, int]):
        super().__init__()
        self.crop = crop

    def make_params(self, flat_inputs: list) -> dict:
        height, width = flat_inputs[0].shape[-2:]
        fits = min(height / self.crop[0], width / self.crop[1])
        first, step, place = (int(torch.randint(n, ())) for n in (len(SCALES), 3, len(PLACES)))
        second = min(max(first + step - 1, 0), len(SCALES) - 1)
        h, w = (max(1, round(side * fits * SCALES[k])) for side, k in zip(self.crop, (first, second)))
        down, right = PLACES[place]
        return {"top": round(down * (height - h)), "left": round(right * (width - w)), "height": h, "width": w}

    def transform(self, inpt, params: dict):
        return v2.functional.resized_crop(inpt, size=list(self.crop), antialias=True, **params)


class ColorJitter(v2.ColorJitter):
    """torchvision's, with the same draws and a hue that takes a tenth of the time (``shift_hue``): with its own, hue
    alone took four fifths of the time of a view."""

    _v1_transform_cls = None  # without the older interface's get_params

    def transform(self, inpt, params: dict):
        for step in params["fn_idx"]:
            if step == HUE and params["hue_factor"] is not None:
                inpt = tv_tensors.wrap(shift_hue(inpt, params["hue_factor"]), like=inpt)
            else:
                inpt = super().transform(inpt, {**params, "fn_idx": [step]})
        return inpt


def shift_hue(clip: torch.Tensor, turn: float) -> torch.Tensor:
    """A clip, uint8 (T, 3, H, W), with its hue turned by a share of the circle, -0.5 to 0.5.

    OpenCV's conversions in float32; of 10,000 values one or two are a level from those of torchvision's
    ``adjust_hue``, the others are the same.
    """
    t, _, h, w = clip.shape
    rgb = np.ascontiguousarray(clip.permute(0, 2, 3, 1).numpy()).reshape(t * h, w, 3)
    hsv = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + 360 * turn) % 360
    turned = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255.999
    return torch.from_numpy(turned.clip(0, 255).astype(np.uint8).reshape(t, h, w, 3)).permute(0, 3, 1, 2)


def mirror_classes(labels: Sequence[str]) -> np.ndarray:
    """The class of each class's mirror image: int64 (K,), ``NEVER`` where that is no class of the list.

    Every class whose name says neither left nor right is its own mirror image (see ``mirrored_name``).

    >>> mirror_classes(["LeftToRight", "RightToLeft", "Surfing", "turning left"]).tolist()
    [1, 0, 2, -1]
    """
    places = {label: place for place, label in enumerate(labels)}
    return np.array([places.get(mirrored_name(label), NEVER) for label in labels], np.int64)


def partner_classes(labels: Sequence[str], pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """The class that each class becomes when its clips are played backwards: int64 (K,), ``NEVER`` where none is known.

    Args:
        labels: class names in index order.
        pairs: classes of which each is the other one played backwards, as ``vidbench.data.classes.time_pairs`` gives
            them. Pairs of which a name is no class are passed over.

    >>> partner_classes(["close", "hold", "open"], [("open", "close"), ("up", "down")]).tolist()
    [2, -1, 0]
    """
    places = {label: place for place, label in enumerate(labels)}
    partners = np.full(len(labels), NEVER, np.int64)
    for pair in pairs:
        if all(label in places for label in pair):
            first, second = (places[label] for label in pair)
            partners[[first, second]] = second, first
    return partners


class Turned(NamedTuple):
    """What a training view shows of its video, and how otherwise than the video did.

    Args:
        mirrored: left is right.
        backwards: the last frame comes first.
        positions: its frames among the stored ones, int64 (T,), from 0, in the order in which it shows them.
    """

    mirrored: bool
    backwards: bool
    positions: np.ndarray


def exchange(scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Scores of a clip, (K,), as those of the clip that shows class ``classes[k]`` where it showed class k.

    Classes that become none (``NEVER``) keep their score.
    """
    found, known = scores.copy(), classes != NEVER
    found[classes[known]] = scores[known]
    return found


def pixel_transforms(how: Augmentation, crop: tuple[int, int]) -> v2.Compose:
    """Torchvision's transforms for a clip, ``tv_tensors.Video`` uint8 (T, 3, H, W): one draw for all its frames."""
    height, width = crop
    shape = width / height
    if how.multi_scale:
        first = MultiScaleCrop(crop)
    elif how.min_scale < 1:
        ratio = (shape * 3 / 4, shape * 4 / 3)
        first = v2.RandomResizedCrop(crop, scale=(how.min_scale, 1.0), ratio=ratio, antialias=True)
    else:
        first = v2.RandomCrop(crop, pad_if_needed=True)
    steps = [first]
    steps += [v2.RandomRotation(how.rotation)] if how.rotation else []
    steps += [ColorJitter(how.jitter, how.jitter, how.jitter, how.jitter / 10)] if how.jitter else []
    steps += [v2.RandAugment(2, how.rand_augment)] if how.rand_augment else []
    steps += [v2.RandomErasing(how.erase)] if how.erase else []
    return v2.Compose(steps)


def label_of(label: int, turned: Turned, mirrored: np.ndarray, partners: np.ndarray | None) -> int:
    """The class that a view of class ``label`` shows."""
    label = int(mirrored[label]) if turned.mirrored else label
    return int(partners[label]) if partners is not None and turned.backwards else label


def draw_view(
    frames: np.ndarray,
    label: int,
    spec: InputSpec,
    num_frames: int,
    how: Augmentation | None,
    mirrored: np.ndarray,
    rng: np.random.Generator,
    turn: int = 0,
    partners: np.ndarray | None = None,
    heard: list[tuple[str, dict]] | None = None,
) -> tuple[torch.Tensor, Turned]:
    """A view of a stored video, and what it shows of it; depends on the arguments and the generator alone.

    A mirrored view of class k shows the class ``mirrored[k]``, one played backwards the class ``partners[k]``, one that
    is both ``partners[mirrored[k]]``. A view of a video played backwards is one of its frames in the other order: what
    is drawn later, such as lost frames, follows the order in which the view is seen.

    Args:
        frames: uint8 (M, h, w, 3), from ``vidbench.data.stored.read_stored``.
        label: class index of the video; a class whose mirror image is none is not mirrored.
        spec: the model's input; its rule, crop and rule for short videos count.
        num_frames: T of the view.
        how: ``None`` for the view without chance.
        mirrored: from ``mirror_classes``.
        rng: what is random about the view; advanced by the call.
        turn: the how manieth view of this video in this epoch, from 0; see ``Timing``.
        partners: from ``partner_classes``; half of the clips of a class that has one are played backwards. ``None``
            plays none backwards.
        heard: as for ``change_pixels``.

    Returns:
        uint8 (T, 3, crop height, crop width), RGB, and what was turned.
    """
    num_stored = len(frames)
    if how is None:
        turned = Turned(False, False, middle_positions(spec, num_stored, num_frames))
    else:
        positions = draw_positions(spec, num_stored, num_frames, rng, how.timing, turn)
        flipped = bool(how.flip and mirrored[label] != NEVER and rng.random() < 0.5)
        shown = int(mirrored[label]) if flipped else label
        backwards = bool(partners is not None and partners[shown] != NEVER and rng.random() < 0.5)
        turned = Turned(flipped, backwards, num_stored - 1 - positions if backwards else positions)
    return change_pixels(frames[turned.positions], spec.crop, how, turned.mirrored, rng, heard), turned


def change_pixels(
    frames: np.ndarray,
    crop: tuple[int, int],
    how: Augmentation | None,
    flipped: bool,
    rng: np.random.Generator,
    heard: list[tuple[str, dict]] | None = None,
) -> torch.Tensor:
    """The pixels of a view, uint8 (T, 3, crop height, crop width), from its frames; ``draw_view`` ends with this.

    Args:
        frames: uint8 (T, h, w, 3), in the order of the view.
        crop: (height, width).
        how: ``None`` for the crop in the middle.
        flipped: whether the view is mirrored.
        rng: draws what torch's generator begins with; advanced by the call.
        heard: gets the name of each transform of torchvision that changes the clip and what it drew, in their order;
            for those that tell it (RandAugment does not).
    """
    clip = torch.from_numpy(np.ascontiguousarray(frames[:, :, ::-1] if flipped else frames)).permute(0, 3, 1, 2)
    if how is None:
        return v2.functional.center_crop(clip, list(crop))
    steps = pixel_transforms(how, crop)
    if heard is not None:
        listen(steps, heard)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(rng.integers(2**63 - 1)))  # torch.manual_seed calls on GPUs too
        clip = steps(tv_tensors.Video(clip))
    return clip.as_subclass(torch.Tensor).contiguous()


def listen(steps: v2.Compose, heard: list[tuple[str, dict]]) -> None:
    """Have each of some transforms put its name and what it draws into a list when it is applied."""

    def noted(step: v2.Transform, draw: Callable[[list], dict], inputs: list) -> dict:
        heard.append((type(step).__name__, params := draw(inputs)))
        return params

    for step in steps.transforms:
        step.make_params = functools.partial(noted, step, step.make_params)


def mix_clips(pixels: torch.Tensor, labels: torch.Tensor, num_classes: int, mixup: float, cutmix: float):
    """A batch in which clips are mixed with others, from torch's current random state.

    Torchvision's MixUp and CutMix refuse a plain tensor of five axes; as ``tv_tensors.Video`` they take it, and treat
    all frames of a clip alike. With both, each batch draws one of the two.

    Args:
        pixels: float (N, T, 3, H, W).
        labels: int64 (N,).
        num_classes: K.
        mixup, cutmix: alpha of its Beta distribution, 0 for none.

    Returns:
        Pixels of the same shape, and labels float (N, K), each row adds up to 1.
    """
    kinds = [v2.MixUp(alpha=mixup, num_classes=num_classes)] if mixup else []
    kinds += [v2.CutMix(alpha=cutmix, num_classes=num_classes)] if cutmix else []
    mixed, shares = v2.RandomChoice(kinds)(tv_tensors.Video(pixels), labels)
    return mixed.as_subclass(torch.Tensor), shares
