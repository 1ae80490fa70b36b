import copy
import shutil

import pytest
import torch
from torch import nn

from dataset.synthetic.people import synthetic_faces
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading import sources
from facial_rec.loading.programs import AnyBatch
from facial_rec.loading.refusals import FacesError, MismatchError, WeightsError, WeightsNotFoundError
from facial_rec.loading.saving import save_finetuned
from facial_rec.loading.torchscript import load_script
from facial_rec.loading.weights import read_weights
from facial_rec.networks.edgeface import build
from metrics import tar_at_far


class Foreign(nn.Module):
    """A recogniser that is no EdgeFace, with a constant on a device in its text."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 8, 8)
        self.head = nn.Linear(16 * 14 * 14, 512)

    def forward(self, x):
        ramp = torch.arange(16, device=x.device).view(1, 16, 1, 1) / 16
        return self.head((self.conv(x) + ramp.to(torch.device("cpu"))).relu().flatten(1))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    torch.manual_seed(0)
    network = Foreign().eval()
    path = tmp_path_factory.mktemp("foreign") / "foreign.ts"
    with pytest.warns(Warning):
        torch.jit.save(torch.jit.trace(network, torch.zeros(1, 3, 112, 112)), path)
    return network, path


def test_embeddings_are_unit_and_preprocessed_inside(xxs_file, networks):
    faces = torch.rand(3, 3, 112, 112)
    found = EdgeFaceEmbedding(xxs_file)(faces)
    with torch.no_grad():
        expected = nn.functional.normalize(networks("edgeface_xxs")((faces - 0.5) / 0.5))
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(found.norm(dim=1), torch.ones(3), atol=1e-6)


def test_faces_of_any_size_are_resized_and_keep_their_gradient(xxs_file):
    faces = torch.rand(2, 3, 40, 30, requires_grad=True)
    edgeface = EdgeFaceEmbedding(xxs_file)
    edgeface(faces)[:, 0].sum().backward()
    assert faces.grad is not None and float(faces.grad.abs().max()) > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in edgeface.parameters())


def test_it_stays_in_evaluation_mode_inside_a_training(xxs_file):
    model = nn.Sequential(EdgeFaceEmbedding(xxs_file), nn.Dropout()).train()
    assert model.training and not any(module.training for module in model[0].modules())


def test_the_lines_of_a_state_dict_are_the_documented_ones(xxs_file, capfd, monkeypatch):
    monkeypatch.chdir(xxs_file.parent)
    EdgeFaceEmbedding("edgeface_xxs.pt")
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "[EdgeFace] Attempting TorchScript load from edgeface_xxs.pt"
    assert lines[1].startswith("[EdgeFace] TorchScript load failed: ")
    assert lines[2] == "[EdgeFace] Falling back to EdgeFace architecture loading"
    assert lines[3] == "[EdgeFace] Loaded float backbone weights"


def test_the_lines_of_a_fine_tuned_checkpoint_say_so(xxs, tmp_path, capfd):
    save_finetuned(tmp_path / "tuned.pth", "edgeface_xxs", xxs, {})
    EdgeFaceEmbedding(tmp_path / "tuned.pth")
    assert "[EdgeFace] Loaded fine-tuned backbone weights" in capfd.readouterr().err.splitlines()


def test_a_torchscript_file_is_rebuilt_and_shows_its_stages(converted, xxs_file, capfd):
    edgeface = EdgeFaceEmbedding(converted["torchscript"])
    assert "[EdgeFace] Successfully loaded as TorchScript model" in capfd.readouterr().err.splitlines()
    faces = torch.rand(2, 3, 112, 112)
    assert edgeface.kind == "TorchScript, rebuilt" and len(edgeface.feature_maps(faces)) == 4
    assert torch.allclose(edgeface(faces), EdgeFaceEmbedding(xxs_file)(faces), atol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make", [lambda network: torch.jit.trace(network, torch.zeros(1, 3, 112, 112)), torch.jit.script]
)
def test_a_quantised_torchscript_file_is_rebuilt_from_its_dequantised_tensors(make, networks, tmp_path):
    network = networks("edgeface_xxs")
    quantised = torch.ao.quantization.quantize_dynamic(copy.deepcopy(network), {nn.Linear}, dtype=torch.qint8)
    torch.jit.save(make(quantised), tmp_path / "quantised.ts")
    weights = read_weights(tmp_path / "quantised.ts")
    assert weights.dtype == "qint8" and weights.kind == "dynamically quantised"
    for name, tensor in network.state_dict().items():
        step = float(tensor.abs().max() / 127) if tensor.dim() == 2 else 0.0
        assert float((weights.state_dict[name] - tensor).abs().max()) <= step
    edgeface, faces = EdgeFaceEmbedding(tmp_path / "quantised.ts"), torch.rand(4, 3, 112, 112)
    with torch.no_grad():
        expected = nn.functional.normalize(quantised((faces - 0.5) / 0.5))
    assert edgeface.kind == "TorchScript, rebuilt" and len(edgeface.feature_maps(faces)) == 4
    assert float((edgeface(faces) * expected).sum(1).min()) > 0.98


def test_an_exported_program_is_rebuilt_too(converted):
    assert EdgeFaceEmbedding(converted["pt2"]).kind == "torch.export program, rebuilt"


def test_a_program_that_computes_something_else_than_its_tensors_say_stays_a_black_box(networks, tmp_path):
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = copy.deepcopy(networks("edgeface_xxs"))

        def forward(self, x):
            return self.model(x.flip(-1)) * torch.linspace(0, 1, 512)

    with pytest.warns(Warning):
        torch.jit.save(torch.jit.trace(Turned().eval(), torch.zeros(1, 3, 112, 112)), tmp_path / "a.ts")
    edgeface = EdgeFaceEmbedding(tmp_path / "a.ts")
    assert edgeface.network is None and edgeface.kind == "TorchScript, black box"


def test_a_program_that_normalises_its_input_itself_is_rebuilt(networks, tmp_path):
    class Normalising(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = copy.deepcopy(networks("edgeface_xxs"))

        def forward(self, x):
            return self.model((x - 0.5) / 0.5)

    with pytest.warns(Warning):
        torch.jit.save(torch.jit.trace(Normalising().eval(), torch.zeros(1, 3, 112, 112)), tmp_path / "a.ts")
    assert EdgeFaceEmbedding(tmp_path / "a.ts").kind == "TorchScript, rebuilt"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("dtype", "answer"),
    [
        ("float16", lambda e: e),
        ("bfloat16", lambda e: (e, e.norm(dim=1))),
        ("float64", lambda e: [e.norm(dim=1), e.float()]),
    ],
)
def test_a_program_traced_in_another_precision_or_answering_with_several_is_rebuilt(dtype, answer, networks, tmp_path):
    class Answering(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = copy.deepcopy(networks("edgeface_xxs"))

        def forward(self, x):
            return answer(self.model(x))

    precision = getattr(torch, dtype)
    traced = torch.jit.trace(
        Answering().eval().to(precision), torch.zeros(1, 3, 112, 112, dtype=precision), strict=False, check_trace=False
    )
    torch.jit.save(traced, tmp_path / "a.ts")
    edgeface = EdgeFaceEmbedding(tmp_path / "a.ts")
    expected = {name: tensor.to(precision) for name, tensor in networks("edgeface_xxs").state_dict().items()}
    assert edgeface.kind == "TorchScript, rebuilt" and edgeface.arch == "edgeface_xxs"
    assert all(torch.equal(tensor, expected[name].float()) for name, tensor in edgeface.network.state_dict().items())


@pytest.mark.filterwarnings("ignore")
def test_in_16_bits_too_a_program_that_computes_something_else_stays_a_black_box(networks, tmp_path):
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = copy.deepcopy(networks("edgeface_xxs"))

        def forward(self, x):
            return (self.model(x.flip(-1)),)

    example = torch.zeros(1, 3, 112, 112, dtype=torch.bfloat16)
    torch.jit.save(torch.jit.trace(Turned().eval().bfloat16(), example, check_trace=False), tmp_path / "a.ts")
    edgeface = EdgeFaceEmbedding(tmp_path / "a.ts")
    assert edgeface.kind == "TorchScript, black box" and edgeface(torch.rand(3, 3, 112, 112)).shape == (3, 512)


@pytest.mark.filterwarnings("ignore")
def test_a_program_that_cannot_run_here_is_rebuilt_and_says_why_it_was_not_compared(networks, tmp_path, capfd):
    class Narrow(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = copy.deepcopy(networks("edgeface_xxs"))

        def forward(self, x):
            return self.model(x.view(-1, 1, 64, 64).expand(-1, 3, -1, -1))

    traced = torch.jit.trace(Narrow().eval(), torch.zeros(1, 1, 64, 64), check_trace=False)
    torch.jit.save(traced, tmp_path / "a.ts")
    assert EdgeFaceEmbedding(tmp_path / "a.ts").kind == "TorchScript, rebuilt"
    assert "not compared" in (said := capfd.readouterr().err) and "shape '[-1, 1, 64, 64]' is invalid" in said


def test_an_unknown_program_is_a_black_box_for_any_batch_with_gradients(foreign):
    network, path = foreign
    edgeface = EdgeFaceEmbedding(path)
    faces = torch.rand(5, 3, 112, 112, requires_grad=True)
    with torch.no_grad():
        expected = nn.functional.normalize(network((faces - 0.5) / 0.5))
    found = edgeface(faces)
    found.sum().backward()
    assert torch.allclose(found, expected, atol=1e-5) and float(faces.grad.abs().max()) > 0
    assert edgeface.arch == "unknown"
    with pytest.raises(MismatchError, match="black box"):
        edgeface.feature_maps(faces)
    with pytest.raises(WeightsError):
        EdgeFaceEmbedding(path, arch="edgeface_xxs")


def test_the_device_in_a_programs_text_is_replaced(foreign):
    script = load_script(foreign[1], torch.device("meta"))
    assert 'torch.device("meta")' in script.code and 'torch.device("cpu")' not in script.code


@pytest.mark.gpu
def test_a_program_traced_on_the_cpu_runs_on_cuda(foreign):
    faces = torch.rand(3, 3, 112, 112)
    on_cpu, on_cuda = EdgeFaceEmbedding(foreign[1]), EdgeFaceEmbedding(foreign[1], device="cuda")
    assert torch.allclose(on_cpu(faces), on_cuda(faces.cuda()).cpu(), atol=1e-4)


def test_a_program_for_one_batch_size_runs_on_any():
    class Fixed(nn.Module):
        def forward(self, x):
            return x.reshape(4, -1)[:, :8]

    faces = torch.rand(6, 3, 4, 4)
    assert torch.equal(AnyBatch(Fixed())(faces), faces.reshape(6, -1)[:, :8])


@pytest.mark.parametrize(
    ("faces", "text"),
    [
        (torch.zeros(1, 3, 112, 112, dtype=torch.uint8), "/ 255"),
        (torch.full((1, 3, 112, 112), 200.0), "divide by 255"),
        (torch.rand(1, 3, 112, 112) * 2 - 1, "already normalised"),
        (torch.rand(1, 3, 112, 112) * 1.5, "clamp"),
        (torch.full((1, 3, 112, 112), float("nan")), "NaN"),
        (torch.rand(1, 112, 112, 3), "permute"),
        (torch.rand(1, 1, 112, 112), "expand grey"),
        (torch.rand(3, 112, 112), "batch dimension"),
        (torch.rand(0, 3, 112, 112), "empty batch"),
        ("face.png", "not a tensor"),
    ],
)
def test_faces_that_are_wrong_get_an_error_that_says_how(faces, text, xxs_file):
    with pytest.raises(FacesError, match=text):
        EdgeFaceEmbedding(xxs_file)(faces)


def test_bare_names_are_looked_up_in_three_places_in_order(xxs_file, tmp_path, monkeypatch, caplog):
    here, package, named = (tmp_path / name for name in ("here", "package", "named"))
    for folder in (here, package, named):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(sources, "WEIGHTS_FOLDER", package)
    monkeypatch.setenv(sources.FOLDER_VARIABLE, str(named))
    with pytest.raises(WeightsNotFoundError, match="get edgeface_xxs"):
        sources.find_weights("edgeface_xxs.pt")
    for folder in (named, package, here):
        shutil.copy(xxs_file, folder / "edgeface_xxs.pt")
        assert sources.find_weights("edgeface_xxs.pt").resolve() == folder / "edgeface_xxs.pt"
    assert "3 files of that name; taken:" in caplog.text
    assert sources.find_weights("edgeface_xxs").resolve() == here / "edgeface_xxs.pt"


def test_an_untrained_network_passes_the_self_test(tmp_path):
    torch.save(build("edgeface_xxs").state_dict(), tmp_path / "fresh.pt")
    EdgeFaceEmbedding(tmp_path / "fresh.pt")


def test_auto_is_the_published_edgeface_where_it_is_found_and_else_the_one_that_ships(xxs_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(sources.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(sources, "log", log := Lines())
    assert sources.named_weights("auto") == sources.SYNTHETIC
    assert "knows drawn people alone" in log.lines[0] and len(log.lines) == 1
    assert sources.find_weights(sources.SYNTHETIC).parent == sources.WEIGHTS_FOLDER
    shutil.copy(xxs_file, tmp_path / "edgeface_xxs_q.pt")
    assert sources.named_weights("auto") == "edgeface_xxs_q.pt"
    shutil.copy(xxs_file, tmp_path / "edgeface_xxs.pt")
    assert sources.named_weights("auto") == "edgeface_xxs.pt"
    assert sources.named_weights("else") == "else" and len(log.lines) == 1


class Lines:
    def __init__(self):
        self.lines = []

    def warning(self, text, *values):
        self.lines.append(text % values)


def test_the_edgeface_that_ships_tells_drawn_people_apart_that_it_has_not_seen():
    person, photo = torch.arange(40).repeat_interleave(3), torch.arange(3).repeat(40)
    faces = synthetic_faces(person, photo, seed=987).float() / 255
    with torch.no_grad():
        embeddings = EdgeFaceEmbedding(sources.SYNTHETIC)(faces).numpy()
    scores, same = embeddings @ embeddings.T, person[:, None] == person
    genuine = scores[(same & ~torch.eye(120, dtype=torch.bool)).numpy()]
    assert tar_at_far(genuine, scores[~same.numpy()], 0.01).tar > 0.9
