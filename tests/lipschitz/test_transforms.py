"""Modulated layers under every transform: each works, or one line says what to do."""

import copy
import os

import lightning
import pytest
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.optim.swa_utils import AveragedModel

from lipfault.errors import LipfaultError
from lipfault.lipschitz import fold, modulate, modulated
from lipfault.lipschitz.modulation.singular import hessian_product
from lipfault.lipschitz.norms.operators import linear_operator

MODES = ['cap', 'pin', 'floor']


def mlp(mode: str = 'pin', target: object = 0.5, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    modulate(net, {'*': {'mode': mode, 'target': target}})
    return net


def convnet(padding_mode: str = 'zeros') -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv1d(2, 4, 3, padding=1, padding_mode=padding_mode), nn.Tanh(), nn.Conv1d(4, 2, 3)
    ).double()
    modulate(net, {'*': {'mode': 'pin', 'target': 0.5}})
    return net


def norm_of(weight: Tensor, layer: nn.Module, size: tuple[int, ...] | None = None) -> float:
    geometry = next(modulated(layer)).modulation._geometry[0]
    matrix = linear_operator(geometry, size, weight.detach().double()).matrix()
    return float(torch.linalg.matrix_norm(matrix, 2))


def converge(net: nn.Module, x: Tensor) -> None:
    """Let the power iterations come to rest: each change of a weight takes a step."""
    net(x)
    for _ in range(300):
        with torch.no_grad():
            for entry in modulated(net):
                entry.modulation._trained = (None, entry.modulation._trained[1])
        net(x)


def exact(net: nn.Module, parameters: dict[str, Tensor], x: Tensor, target: float) -> Tensor:
    """The pinned dense network, by differentiable singular values."""
    for name in ('0', '2'):
        weight = parameters[f'{name}.parametrizations.weight.original']
        weight = weight * (target / torch.linalg.svdvals(weight)[0])
        x = x @ weight.T + parameters[f'{name}.bias']
        x = torch.tanh(x) if name == '0' else x
    return x


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('kind', ['penalty', 'hessian'])
def test_second_derivatives_are_those_of_the_exact_formula(training, kind):
    net = mlp()
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    converge(net, x)
    net.train(training)
    names, values = zip(*net.named_parameters(), strict=True)

    def second(y: Tensor) -> tuple[Tensor, ...]:
        inputs = (x,) if kind == 'penalty' else values
        first = torch.autograd.grad(y.sin().sum(), inputs, create_graph=True)
        return torch.autograd.grad(
            sum(part.square().sum() for part in first), values, materialize_grads=True
        )

    right = second(exact(net, dict(zip(names, values, strict=True)), x, 0.5))
    torch.testing.assert_close(second(net(x)), right, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize('shape', [(4, 4), (5, 3), (3, 5), (4, 1), (1, 4)])
def test_hessian_of_the_norm(shape):
    torch.manual_seed(0)
    weight, along = torch.randn(2, *shape, dtype=torch.float64)

    def gradient(w: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(torch.linalg.svdvals(w)[0], w, create_graph=True)
        return slope

    step = 1e-5
    ends = [gradient((weight + s * along).requires_grad_()) for s in (step, -step)]
    difference = (ends[0] - ends[1]).detach() / (2 * step)
    torch.testing.assert_close(hessian_product(weight, along), difference, rtol=1e-6, atol=1e-7)


def test_gradient_penalty_of_a_convolution_works_and_its_hessian_is_refused():
    net = convnet()
    x = torch.randn(2, 2, 8, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
    slope.square().sum().backward()
    raw = next(modulated(net)).raw
    assert raw.grad.abs().sum() > 0
    (slope,) = torch.autograd.grad(net(x).square().sum(), raw, create_graph=True)
    with pytest.raises(LipfaultError, match=r'second derivative.*convolution.*fold'):
        slope.square().sum().backward()


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('mode', MODES)
def test_functional_gradients_to_parameters(training, mode):
    net = mlp(mode)
    x = torch.randn(6, 4, dtype=torch.float64)
    converge(net, x)
    net.train(training)
    parameters = {n: p.detach() for n, p in net.named_parameters()}
    found = grad(lambda p: functional_call(net, p, (x,)).sin().sum())(parameters)
    net(x).sin().sum().backward()
    wanted = {n: p.grad for n, p in net.named_parameters()}
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9)


def test_functional_gradients_per_sample_of_a_convolution():
    net = convnet()
    x = torch.randn(3, 2, 8, dtype=torch.float64)
    net.eval()(x)
    parameters = {n: p.detach() for n, p in net.named_parameters()}

    def loss(p: dict[str, Tensor], sample: Tensor) -> Tensor:
        return functional_call(net, p, (sample[None],)).sin().sum()

    found = vmap(grad(loss), in_dims=(None, 0))(parameters, x)
    net(x).sin().sum().backward()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(found[name].sum(0), parameter.grad)


@pytest.mark.parametrize('training', [True, False])
def test_ensembles(training):
    nets = [mlp('cap', 0.3, seed).train(training) for seed in range(3)]
    parameters, buffers = stack_module_state(nets)
    x = torch.randn(6, 4, dtype=torch.float64)

    def forward(p: dict[str, Tensor], b: dict[str, Tensor]) -> Tensor:
        return functional_call(nets[0], (p, b), (x,))

    found = vmap(forward)(parameters, buffers)
    for net, y in zip(nets, found, strict=True):
        torch.testing.assert_close(y, net.eval()(x))


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('build', [mlp, convnet])
@pytest.mark.filterwarnings('ignore')
def test_compiled_as_one_graph(build, training):
    torch._dynamo.reset()
    net = build()
    x = torch.randn(6, 4) if build is mlp else torch.randn(2, 2, 8)
    x = x.double()
    net(x)
    net.train(training)
    other = copy.deepcopy(net)
    compiled = torch.compile(net, fullgraph=True, backend='aot_eager')
    for _ in range(3):
        found, wanted = compiled(x), other(x)
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9)
        for module, y in ((net, found), (other, wanted)):
            module.zero_grad()
            y.square().sum().backward()
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter -= 0.1 * parameter.grad


@pytest.mark.filterwarnings('ignore')
def test_export_says_what_to_do():
    net, x = mlp().eval(), torch.randn(6, 4, dtype=torch.float64)
    with pytest.raises(Exception, match=r"layer '0'.*fold"):
        torch.export.export(net, (x,))
    exported = torch.export.export(fold(copy.deepcopy(net)), (x,))
    torch.testing.assert_close(exported.module()(x), net(x))


def test_averages_made_before_the_first_forward_pass():
    net, x = convnet(), torch.randn(2, 2, 8, dtype=torch.float64)
    averaged = AveragedModel(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    for _ in range(3):
        net(x).square().sum().backward()
        optimizer.step()
        averaged.update_parameters(net)
    averaged.eval()(x)
    for entry in modulated(averaged):
        size = entry.modulation.right.shape[2:]
        assert norm_of(entry.layer.weight, entry.layer, size) == pytest.approx(0.5, rel=1e-6)


class Task(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = convnet()

    def training_step(self, x: Tensor) -> Tensor:
        return (self.net(x) - 1).square().mean()

    def validation_step(self, x: Tensor) -> None:
        y = self.net(x)
        norms = [
            norm_of(m.layer.weight, m.layer, m.modulation.right.shape[2:]) for m in modulated(self)
        ]
        assert norms == pytest.approx([0.5, 0.5], rel=1e-6), y.shape

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.net.parameters(), lr=0.5)


@pytest.mark.filterwarnings('ignore')
def test_weight_averaging_of_lightning(tmp_path):
    data = torch.utils.data.DataLoader(torch.randn(6, 2, 8, dtype=torch.float64), batch_size=2)
    trainer = lightning.Trainer(
        max_epochs=2, accelerator='cpu', logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
        callbacks=[WeightAveraging()],
    )  # fmt: skip
    trainer.fit(Task(), data, data)


class DataSGD:
    """Optimizer that writes through `.data`, without raising a version."""

    def __init__(self, module: nn.Module, rate: float):
        self.module, self.rate = module, rate

    def step(self) -> None:
        for parameter in self.module.parameters():
            parameter.data.add_(parameter.grad, alpha=-self.rate)
            parameter.grad = None


@pytest.mark.parametrize('build', [mlp, convnet])
def test_optimizers_that_write_through_data(build):
    net = build()
    x = torch.randn(8, 4) if build is mlp else torch.randn(4, 2, 8)
    optimizer = DataSGD(net, 0.5)
    for _ in range(20):
        (net(x.double()) - 3).square().mean().backward()
        optimizer.step()
        net(x.double())
        for entry in modulated(net):
            size = tuple(entry.modulation.right.shape[2:]) or None
            assert norm_of(entry.layer.weight, entry.layer, size) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize('training', [True, False])
def test_new_weights_at_an_old_address_have_their_own_norm(training):
    layer = nn.Linear(8, 8, bias=False)
    modulate(layer, {'*': {'mode': 'cap', 'target': 1.0}})
    layer.train(training)
    for factor in (1.0, 10.0, 100.0, 1e3, 1e4):
        given = {'parametrizations.weight.original': factor * torch.eye(8).roll(1, 0)}
        y = functional_call(layer, given, (torch.eye(8),))
        assert float(torch.linalg.matrix_norm(y.detach(), 2)) == pytest.approx(1.0, rel=1e-5)
        del given, y


def test_a_weight_that_is_exchanged_in_training_starts_anew():
    torch.manual_seed(0)
    layer = nn.Linear(16, 16, bias=False)
    (entry,) = modulate(layer, {'*': {'mode': 'pin', 'target': 1.0}})
    u, s, v = torch.linalg.svd(entry.raw.detach())
    # The old top direction is now the second: a power iteration from it would stay there.
    s[[0, 1]] = torch.tensor([1.0, 3.0])
    entry.raw.data.copy_(5 * (u * s) @ v)
    layer(torch.randn(2, 16))
    assert norm_of(layer.weight, layer) == pytest.approx(1.0, rel=1e-2)


def test_backward_after_a_step_is_refused_as_for_a_plain_layer():
    for net in (mlp(), fold(mlp())):
        x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
        loss = net(x).square().sum()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(2.0)
        with pytest.raises(RuntimeError, match='modified by an inplace operation'):
            loss.backward()


def test_larger_inputs_than_the_first():
    net = convnet()
    for size in (8, 20, 12):
        net(torch.randn(2, 2, size, dtype=torch.float64))
    net.eval()
    first = next(modulated(net))
    assert tuple(first.modulation.right.shape[2:]) == (20,)
    for size in (8, 12, 20):
        assert norm_of(first.layer.weight, first.layer, (size,)) <= 0.5 * (1 + 1e-6)
    assert norm_of(first.layer.weight, first.layer, (20,)) == pytest.approx(0.5, rel=1e-6)


def test_a_second_size_with_circular_padding_is_refused():
    net = convnet('circular')
    net(torch.randn(2, 2, 8, dtype=torch.float64))
    with pytest.raises(LipfaultError, match=r"layer '0'.*\(8,\), got \(9,\).*one size"):
        net(torch.randn(2, 2, 9, dtype=torch.float64))


def test_the_first_size_inside_a_transform_is_refused():
    net, x = convnet(), torch.randn(2, 2, 8, dtype=torch.float64)
    with pytest.raises(LipfaultError, match=r"layer '0'.*plain forward pass"):
        vmap(lambda sample: net(sample[None]))(x)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_a_cap_holds_in_half_precision(dtype):
    for seed in range(10):
        torch.manual_seed(seed)
        layer = nn.Linear(7, 9).to(dtype)
        modulate(layer, {'*': {'mode': 'cap', 'target': 0.3}})
        assert norm_of(layer.eval().weight, layer) <= 0.3 * (1 + 1e-6)


@pytest.mark.ddp
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('version', [1, 2])
def test_sharded_training_keeps_the_norm(version, tmp_path):
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    os.environ |= {'MASTER_ADDR': '127.0.0.1', 'GLOO_SOCKET_IFNAME': 'lo'}
    store = dist.FileStore(f'{tmp_path}/store', 1)
    dist.init_process_group('gloo', store=store, rank=0, world_size=1)
    try:
        net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4))
        modulate(net, {'*': {'mode': 'pin', 'target': 0.5}})
        if version == 1:
            sharded = FullyShardedDataParallel(net, device_id=torch.device('cpu'))
        else:
            sharded = fully_shard(net)
        optimizer = torch.optim.Adam(sharded.parameters(), lr=0.05)
        x, eye = torch.randn(16, 4), torch.eye(4)
        for _ in range(10):
            optimizer.zero_grad()
            (sharded(x) - 1).square().mean().backward()
            optimizer.step()
        # The norm of the first layer as the forward pass computes it.
        seen = []
        net[0].register_forward_hook(lambda m, args, y: seen.append(y))
        sharded.eval()(torch.cat([eye, torch.zeros(1, 4)]))
        matrix = seen[0][:4] - seen[0][4]
        assert float(torch.linalg.matrix_norm(matrix.detach(), 2)) == pytest.approx(0.5, rel=1e-4)
    finally:
        dist.destroy_process_group()
