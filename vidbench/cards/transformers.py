"""Video transformers whose networks are part of the transformers library."""

from __future__ import annotations

from typing import Any

from vidbench.cards.card import ModelCard, Weights, reported_of
from vidbench.records import InputSpec

_HUB = "https://huggingface.co/"
_BUILD = "vidbench.hub_transformers:build_classifier"
_CLASSES = {"kinetics400": 400, "kinetics600": 600, "somethingv2": 174, "kinetics710_videomaev2": 710}

_IMAGENET_NORM: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_PLAIN_NORM = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225)}
_SIGNED = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

_NOT_READ = "config.json and processor of the hub's folder were not readable here: they are compared when it is loaded."
_STRIDE = "The stride counts frames, 30 a second in Kinetics; a video of another rate gets the nearest whole stride."


def _input(num_frames: int, rate: float | None, resize: int, crop: int, clips: int, crops: int, norm, average):
    sampling = "dense" if rate else "uniform"
    return InputSpec(
        num_frames, rate, resize, (crop, crop), **norm, sampling=sampling, num_clips=clips, num_crops=crops,
        layout="NTCHW", average=average,
    )  # fmt: skip


def _transformer(name, spec, weights, params, citation, options, *, frames=None, notes="", **more):
    labels = more.pop("labels", name.partition(".")[2].removesuffix("_short"))
    return ModelCard(
        name=name,
        build=_BUILD,
        kind="transformers",
        weights=weights,
        labels=labels,
        num_classes=_CLASSES[labels],
        input=spec,
        reported=reported_of(name),
        num_frames=frames or (spec.num_frames, spec.num_frames),
        params=params,
        citation=citation,
        notes=notes,
        options=options,
        **more,
    )


# ------------------------------------------------------------------------------------------------- VideoMAE

_SMALL = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "intermediate_size": 1536}
_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
_HUGE = {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "intermediate_size": 5120}
_SIX_HEADS = (
    "The authors' ViT-S has 6 heads of attention; the library's converter wrote 16 into config.json, which takes the "
    "same weights and computes something else (transformers issue 25868 reports 42 % top-1 for this checkpoint; that "
    "this is why is likely, not proved). A folder that says 16 is refused; its weights file alone is built with 6."
)
_VIEWS = {
    "kinetics400": (7.5, 5),
    "somethingv2": (None, 2),
}


def _videomae(name: str, handle: str, size: dict, params: int, notes: str = "") -> ModelCard:
    rate, clips = _VIEWS[name.partition(".")[2].removesuffix("_short")]
    return _transformer(
        name,
        _input(16, rate, 224, 224, clips, 3, _IMAGENET_NORM, "probabilities"),
        Weights("model.safetensors", _HUB + "MCG-NJU/" + handle, license="CC-BY-NC-4.0 (the authors' repository)"),
        params,
        "VideoMAE, https://arxiv.org/abs/2203.12602",
        {"model_type": "videomae", "image_size": 224, "patch_size": 16, "num_frames": 16, "tubelet_size": 2, **size},
        notes=" ".join(part for part in (notes, _STRIDE if rate else "", _NOT_READ) if part),
        convert="vidbench.hub_transformers:from_videomae",
    )


_V2_NOTES = (
    "A head for the 710 classes of Kinetics-710 in the authors' own order, which is not alphabetical; 13 classes of "
    "Kinetics-400 have merged names there, so --label-map names leaves those out. The published number was measured "
    "on Kinetics-400 with a mapping of the authors. "
)


def _videomae_v2(letter: str, word: str, size: dict, params: int) -> ModelCard:
    file = f"vit_{letter}_k710_dl_from_giant.pth"
    return _transformer(
        f"videomae2_{word}.kinetics710",
        _input(16, 7.5, 224, 224, 5, 3, _IMAGENET_NORM, "probabilities"),
        Weights(file, f"{_HUB}OpenGVLab/VideoMAE2/resolve/main/distill/{file}", license="MIT (code)"),
        params,
        "VideoMAE V2, https://arxiv.org/abs/2303.16727",
        {"model_type": "videomae", "layer_norm_eps": 1e-6, **size},
        notes=_V2_NOTES + _STRIDE,
        labels="kinetics710_videomaev2",
        convert="vidbench.hub_transformers:from_videomae",
    )


_VIDEOMAE = (
    _videomae("videomae_base.kinetics400", "videomae-base-finetuned-kinetics", _BASE, 86534800,
              "Pretrained for 1600 epochs; the hub's own page gives 80.9 / 94.7."),
    _videomae("videomae_base.kinetics400_short", "videomae-base-short-finetuned-kinetics", _BASE, 86534800,
              "Pretrained for 800 epochs; which of the authors' two such rows it is (80.0 or 81.0) is not verified."),
    _videomae("videomae_base.somethingv2", "videomae-base-finetuned-ssv2", _BASE, 86361006),
    _videomae("videomae_small.kinetics400", "videomae-small-finetuned-kinetics", _SMALL, 22033936,
              _SIX_HEADS),
    _videomae("videomae_small.somethingv2", "videomae-small-finetuned-ssv2", _SMALL, 21946926,
              _SIX_HEADS),
    _videomae("videomae_large.kinetics400", "videomae-large-finetuned-kinetics", _LARGE, 304270736),
    _videomae("videomae_huge.kinetics400", "videomae-huge-finetuned-kinetics", _HUGE, 632119440),
    _videomae_v2("s", "small", _SMALL, 22153286),
    _videomae_v2("b", "base", _BASE, 86773190),
)  # fmt: skip

# ----------------------------------------------------------------------------------------------- TimeSformer

_TIMESFORMER_PAPER = "Is space-time attention all you need for video understanding?, https://arxiv.org/abs/2102.05095"
_TIMESFORMER_NOTES = (
    "Mean and standard deviation are those of training; the processor's class default is ImageNet's. The authors "
    "trained these weights again, and they score a little below the paper. How the three crops are averaged is not "
    "stated; logits here. "
)
_TIMESFORMER_L = "There is no folder of it on the hub: save the authors' file in a browser and pass it with --weights. "


def _timesformer(size: str, labels: str, frames: int, stride: int | None, image: int, params: int, where: str):
    on_hub = not where.startswith("https:")
    return _transformer(
        f"timesformer_{size}.{labels}",
        _input(frames, 30 / stride if stride else None, image, image, 1, 3, _PLAIN_NORM, "logits"),
        Weights(
            "model.safetensors" if on_hub else where.rpartition("/")[2].partition("?")[0],
            f"{_HUB}facebook/{where}" if on_hub else where,
            license="CC-BY-NC-4.0 (the authors' repository)",
            absent="" if on_hub else f"no program can fetch them; save {where} in a browser",
        ),
        params,
        _TIMESFORMER_PAPER,
        _timesformer_options("divided_space_time", image, frames),
        notes=_TIMESFORMER_NOTES
        + (_STRIDE + " " if stride else "")
        + (_NOT_READ if on_hub else _TIMESFORMER_L.strip()),
        convert="vidbench.hub_transformers:from_timesformer",
    )


def _timesformer_options(attention: str, image: int, frames: int) -> dict:
    return {
        "model_type": "timesformer",
        "attention_type": attention,
        "image_size": image,
        "patch_size": 16,
        "num_frames": frames,
        **_BASE,
    }


def _timesformer_untrained(size: str, attention: str, params: int, notes: str) -> ModelCard:
    return _transformer(
        f"timesformer_{size}.kinetics400",
        _input(8, 30 / 32, 224, 224, 1, 3, _PLAIN_NORM, "logits"),
        Weights("", absent="nobody published any"),
        params,
        _TIMESFORMER_PAPER,
        _timesformer_options(attention, 224, 8),
        notes=f"{notes} Nobody published weights for it: bring your own with --weights, or compare with random ones.",
        convert="vidbench.hub_transformers:from_timesformer",
    )


_DROPBOX = "https://www.dropbox.com/s/"
_TIMESFORMER = (
    _timesformer("base", "kinetics400", 8, 32, 224, 121566352, "timesformer-base-finetuned-k400"),
    _timesformer("base", "kinetics600", 8, 32, 224, 121720152, "timesformer-base-finetuned-k600"),
    _timesformer("base", "somethingv2", 8, None, 224, 121392558, "timesformer-base-finetuned-ssv2"),
    _timesformer("hr", "kinetics400", 16, 16, 448, 122024080, "timesformer-hr-finetuned-k400"),
    _timesformer("hr", "kinetics600", 16, 16, 448, 122177880, "timesformer-hr-finetuned-k600"),
    _timesformer("hr", "somethingv2", 16, None, 448, 121850286, "timesformer-hr-finetuned-ssv2"),
    _timesformer("large", "kinetics400", 96, 4, 224, 121633936,
                 _DROPBOX + "r1iuxahif3sgimo/TimeSformer_divST_96x4_224_K400.pyth?dl=0"),
    _timesformer("large", "kinetics600", 96, 4, 224, 121787736,
                 _DROPBOX + "857rx6xeclxfhdg/TimeSformer_divST_96x4_224_K600.pyth?dl=0"),
    _timesformer("large", "somethingv2", 64, None, 224, 121435566,
                 _DROPBOX + "3f1rm2al8mhprwa/TimeSformer_divST_64_224_SSv2.pyth?dl=0"),
    _timesformer_untrained("joint", "joint_space_time", 86112400, "Each token attends to all, in space and time."),
    _timesformer_untrained("space", "space_only", 86106256, "Frames are looked at apart: blind to their order."),
)  # fmt: skip

# ----------------------------------------------------------------------------------- ViViT and V-JEPA 2

_VIVIT = _transformer(
    "vivit_base.kinetics400",
    _input(32, 15.0, 256, 224, 4, 3, _SIGNED, "logits"),
    Weights(
        "model.safetensors", _HUB + "google/vivit-b-16x2-kinetics400", license="MIT on the hub's page, not verified"
    ),
    88954000,
    "ViViT: a video vision transformer, https://arxiv.org/abs/2103.15691",
    {"model_type": "vivit", "image_size": 224, "num_frames": 32, "tubelet_size": (2, 16, 16), **_BASE},
    notes="Trained on pixels from -1 to 1. The library's processor scales to that and, where normalising is left on, "
    "once more, to -3 to 1; such a folder is refused by name. The short side of 256 is the processor's. How views are "
    f"averaged is not stated; logits here. {_STRIDE} {_NOT_READ}",
)


def _vjepa2(name: str, handle: str, frames: int, rate: float, crop: int, size: dict, params: int) -> ModelCard:
    # Resize: the library's rule, int(crop * 256 / 224); views: names of the authors' files of the classifiers' weights.
    return _transformer(
        name,
        _input(frames, rate, crop * 256 // 224, crop, 2, 3, _IMAGENET_NORM, "probabilities"),
        Weights("model.safetensors", _HUB + "facebook/" + handle, license="not verified (MIT or Apache-2.0)"),
        params,
        "V-JEPA 2, https://arxiv.org/abs/2506.09985",
        {"model_type": "vjepa2", "crop_size": crop, "frames_per_clip": frames, **size},
        frames=(2, None),
        notes="A frozen encoder with an attentive classifier. No published number is in our table. The rate is the "
        "authors' frame step at 30 frames a second; videos of Something-Something have 12, and how they resampled them "
        "is not verified. The encoder's predictor is part of the network, is not used for classes and gets no "
        f"gradient. {_NOT_READ}",
    )


_JEPA = (
    _vjepa2("vjepa2_large.somethingv2", "vjepa2-vitl-fpc16-256-ssv2", 16, 7.5, 256, {}, 375485998),
    _vjepa2(
        "vjepa2_giant.somethingv2",
        "vjepa2-vitg-fpc64-384-ssv2",
        64,
        15.0,
        384,
        {"hidden_size": 1408, "num_hidden_layers": 40, "num_attention_heads": 22, "mlp_ratio": 48 / 11},
        1128049454,
    ),
)

CARDS = (*_VIDEOMAE, *_TIMESFORMER, _VIVIT, *_JEPA)
