"""Our models for other programs: `folder` writes, `check` compares, `to_ctranslate2` knows CTranslate2."""
