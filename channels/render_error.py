"""The one way in which a text can fail to be filled."""


class RenderError(ValueError):
    """The text cannot be read, or not filled with these values. Its words are fit to be shown; they hold no value."""
