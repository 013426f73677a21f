"""Export: a whole bundle of either layout, or an error that names what is wrong and nothing that looks whole."""

import json

from engines.indextts.sizes import Sizes
from engines.indextts.tables import Tables
from models.bundle import Bundle
from tests.engines.indextts.oracle import Oracle


def test_the_manifest_tells_sizes_sources_and_precision(oracle: Oracle, bundle: Bundle, bundle_int8: Bundle) -> None:
    read = Bundle.read(bundle.folder)
    assert (read.name, read.quantisation, bundle_int8.quantisation) == ("indextts2", "fp32", "int8")
    assert Sizes.of_json(json.loads(json.dumps(read.sizes))).gpt.codes == len(Tables.read(read.folder).mel_embedding)
    assert read.version == bundle_int8.version, "voices made with one are heard with the other"
    assert {"config.yaml", "gpt.pth", "hf_cache/bigvgan/bigvgan_generator.pt"} <= set(read.sources)
    assert all((oracle.checkpoints / one).is_file() for one in read.sources)
    assert (
        bundle_int8.folder.joinpath("gpt.onnx.data").stat().st_size
        < 0.5 * read.folder.joinpath("gpt.onnx.data").stat().st_size
    )
