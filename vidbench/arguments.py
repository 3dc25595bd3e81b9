"""Options of our programs, to import from: a frozen dataclass and a ``Program`` for each."""

from vidbench.check_arguments import CHECK, CheckConfig
from vidbench.doctor_arguments import DOCTOR, DoctorConfig
from vidbench.evaluate_arguments import EVALUATE, EvaluateConfig
from vidbench.fetch_arguments import CACHE, FETCH, CacheConfig, FetchConfig
from vidbench.list_arguments import CONVERT, EXTRACT, LIST_FORMATS, SPLIT, ConvertConfig, ExtractConfig, SplitConfig
from vidbench.old_flags import OLD_FLAGS
from vidbench.train_arguments import TRAIN, TrainConfig

__all__ = [
    "CACHE",
    "CHECK",
    "CONVERT",
    "DOCTOR",
    "EVALUATE",
    "EXTRACT",
    "FETCH",
    "LIST_FORMATS",
    "OLD_FLAGS",
    "SPLIT",
    "TRAIN",
    "CacheConfig",
    "CheckConfig",
    "ConvertConfig",
    "DoctorConfig",
    "EvaluateConfig",
    "ExtractConfig",
    "FetchConfig",
    "SplitConfig",
    "TrainConfig",
]
