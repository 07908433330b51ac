"""The base class of the sections of the configuration."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base class of the sections. It is immutable, refuses unknown keys and converts no values."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="after")
    def _no_text_has_a_nul(self) -> Self:
        for key, value in self:
            if isinstance(value, str) and "\0" in value:
                raise ValueError(f"{key}={value!r} contains a NUL character; names and paths must not")
        return self
