"""Python code that loads an exported model, to be printed and copied.

The code of each target runs with the packages it imports and without charrnn. It consists of a part
that loads the file and a part that uses the model, by what the model is for: to continue a text, or
to answer an input with a label, a symbol for each of its own, or a text.
"""

from charrnn.data.layouts import PairVocabulary
from charrnn.data.vocabulary import Vocabulary
from charrnn.export.pytorch_weights import MODULES
from charrnn.inference.prompt_answers import answer_limit
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig

PYTORCH = """import json

import torch
from safetensors import safe_open
from torch import nn


class CharRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.{module}({inputs}, {hidden}, num_layers={layers}{bidirectional})
        self.readout = nn.Linear({width}, {outputs}){context}

{forward}

model = CharRNN()
with safe_open({path}, "pt") as file:
    model.load_state_dict({{name: file.get_tensor(name) for name in file.keys()}})
    metadata = file.metadata()
"""

ONE_HOT = "nn.functional.one_hot({ids}, {inputs}).to(self.readout.weight.dtype)"

FORWARD = '''    def forward(self, ids, state=None):
        """Map ids (T, B) to the logits (T, B, {outputs}) of the {answers}, and a state."""
        x = {one_hot}
        h, state = self.rnn(x, state)
        return self.readout(h), state
'''

FORWARD_MLSTM = '''    def forward(self, ids, state=None):
        """Map ids (T, B) to the logits (T, B, {outputs}) of the {answers}, and a state."""
        x, after = {one_hot}, []
        if state is None:
            state = [x.new_zeros({layers}, x.shape[1], {hidden})] * 2
        for layer, (h, c) in enumerate(zip(*state)):
            kinds = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
            weights = [getattr(self.rnn, f"{{kind}}_l{{layer}}") for kind in kinds]
            outputs = []
            for now, scale in zip(x, self.scale[layer](x)):
                h, c = torch.lstm_cell(now, (scale * h, c), *weights)
                outputs.append(h)
            x = torch.stack(outputs)
            after.append((h, c))
        return self.readout(x), [torch.stack(one) for one in zip(*after)]
'''

FORWARD_EACH = '''    def forward(self, ids):
        """Map whole texts (T, B) to the logits (T, B, {outputs}) of the {answers}."""
        x = {one_hot}
        h, state = self.rnn(x)
        return self.readout(h), state
'''

FORWARD_LAST = '''    def forward(self, ids):
        """Map whole texts (T, B) to the logits (1, B, {outputs}) of the {answers}."""
        x = {one_hot}
        _, state = self.rnn(x)
        h = state[0] if isinstance(state, tuple) else state
        return self.readout(torch.cat([h[-2], h[-1]], -1))[None], state
'''

STEP_OF_LAYERS = """        x, after = {last_one_hot}, []
        for layer in range({layers}):
            kinds = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
            weights = [getattr(self.rnn, f"{{kind}}_l{{layer}}") for kind in kinds]
            if begins and layer == 0:
                x = torch.cat([x, contexts[0]], -1)
                weights[0] = torch.cat([weights[0], self.context.weight], -1)
            before = [one[layer] for one in states]
            after.append({cell})
            x = torch.cat([after[-1][0], contexts[layer]], -1)
"""
"""One step of all layers of a decoder, part of both forms of its `forward`."""

FORWARD_CONTEXT = '''    def forward(self, ids, state=None):
        """Map a text and GO (T, B), then each symbol (1, B), to logits (1, B, {outputs})."""
        begins = state is None
        if begins:
            _, last = self.rnn({text_one_hot})
            last = last if isinstance(last, tuple) else (last,)
            state = [one[0::2] for one in last], last[0][1::2]  # forward, and h of backward
        states, contexts = state  # each (L, B, {hidden})
{steps}        return self.readout(x)[None], ([torch.stack(one) for one in zip(*after)], contexts)
'''

FORWARD_ATTENTION = '''    def forward(self, ids, state=None):
        """Map a text and GO (T, B), then each symbol (1, B), to logits (1, B, {outputs})."""
        begins = state is None
        if begins:
            read, last = self.rnn({text_one_hot})
            last = last if isinstance(last, tuple) else (last,)
            both = read[..., :{hidden}] + read[..., {hidden}:]  # (T, B, {hidden})
            state = [one[0::2] for one in last], last[0][1::2], both
        states, contexts, both = state  # states and contexts: each (L, B, {hidden})
{steps}        h = after[-1][0]
        keys = both.unflatten(-1, ({heads}, {head}))  # (T, B, {heads}, {head})
        scores = (keys * self.query(h).unflatten(-1, ({heads}, {head}))).sum(-1, keepdim=True)
        taken = ((scores / {head} ** 0.5).softmax(0) * keys).sum(0).flatten(-2)
        r = torch.tanh(self.combine(torch.cat([h, taken], -1)))
        return self.readout(r)[None], ([torch.stack(one) for one in zip(*after)], contexts, both)
'''

FORWARDS = {
    None: FORWARD,
    "each": FORWARD_EACH,
    "last": FORWARD_LAST,
    "context": FORWARD_CONTEXT,
}
"""The method `forward` by the use of backward states, without attention."""

CONTEXT_MODULE = "\n        self.context = nn.Linear({hidden}, {gates}, bias=False)"
ATTENTION_MODULES = """
        self.query = nn.Linear({hidden}, {hidden}, bias=False)
        self.combine = nn.Linear({both}, {hidden})"""

SCALE_MODULES = """
        self.scale = nn.ModuleList(nn.Linear(width, {hidden}) for width in {widths})"""

CELL_STEPS = {
    "rnn": "(torch.rnn_tanh_cell(x, before[0], *weights),)",
    "lstm": "torch.lstm_cell(x, before, *weights)",
    "gru": "(torch.gru_cell(x, before[0], *weights),)",
}
"""One step of each cell in PyTorch, as a tuple of its states."""

ONNX = """import json

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession({path})
metadata = session.get_modelmeta().custom_metadata_map
"""

ONNX_STATE = """state = {{
    node.name: np.zeros(({layers}, 1, {hidden}), np.float32)  # (L, B, H)
    for node in session.get_inputs()[1:]
}}
"""

VOCABULARY = """characters = json.loads(metadata["vocabulary"])  # of each id{note}
"""

PAIRS = """pairs = json.loads(metadata["pairs"])
sources, answers = pairs["sources"], pairs["answers"]  # of each id
text = {example}
ids = [sources.index({known}) for symbol in text]{go}
"""

PYTORCH_CHARACTERS = """logits, state = model(torch.zeros(1, 1, dtype=torch.long))
print("most probable after", repr(characters[0]), "is", repr(characters[logits.argmax()]))
"""

PYTORCH_LABEL = """logits, _ = model(torch.tensor(ids)[:, None])
for answer, probability in zip(answers, logits[-1, 0].softmax(-1).tolist()):
    print(repr(answer), round(probability, 4))
"""

PYTORCH_SYNCED = """logits, _ = model(torch.tensor(ids)[:, None])
print("".join(answers[best] for best in logits[:, 0].argmax(-1).tolist()))
"""

PYTORCH_ANSWER = """logits, state = model(torch.tensor(ids)[:, None])
answer = ""
while len(answer) < {limit} and (best := int(logits[-1, 0].argmax())) < len(answers):
    answer += answers[best]
    logits, state = model(torch.tensor([[{first_answer} + best]]), state)
print(answer)
"""

ONNX_CHARACTERS = """ids = np.zeros((1, 1), np.int64)  # (T, B)
for _ in range(20):
    logits, *states = session.run(None, {{"ids": ids, **state}})  # logits (T, B, {outputs})
    state = dict(zip(state, states))
    ids = logits.argmax(-1)
    print(repr(characters[ids[0, 0]]), end=" ")
print()
"""

ONNX_LABEL = """logits = session.run(None, {{"ids": np.array(ids)[:, None]{state}}})[0][-1, 0]
probabilities = np.exp(logits - logits.max())
probabilities /= probabilities.sum()
for answer, probability in zip(answers, probabilities.tolist()):
    print(repr(answer), round(probability, 4))
"""

ONNX_SYNCED = """logits = session.run(None, {{"ids": np.array(ids)[:, None]{state}}})[0][:, 0]
print("".join(answers[best] for best in logits.argmax(-1)))
"""

ONNX_ANSWER = """answer = ""
while True:
    logits, *states = session.run(None, {{"ids": np.array(ids)[:, None], **state}})
    state = dict(zip(state, states))
    best = int(logits[-1, 0].argmax())
    if best == len(answers) or len(answer) == {limit}:
        break
    answer += answers[best]
    ids = [{first_answer} + best]
print(answer)
"""

USES = {
    "characters": (PYTORCH_CHARACTERS, ONNX_CHARACTERS),
    "label": (PYTORCH_LABEL, ONNX_LABEL),
    "synced": (PYTORCH_SYNCED, ONNX_SYNCED),
    "answer": (PYTORCH_ANSWER, ONNX_ANSWER),
}
"""What a model is used for, in PyTorch and in ONNX."""

BYTES_NOTE = "; U+0000 to U+00FF stand for bytes"


def pytorch_snippet(config: ModelConfig, path: str, symbols: Vocabulary | PairVocabulary) -> str:
    """Return code that loads a safetensors file into PyTorch and computes logits.

    Args:
        config: the network.
        path: the file, as the code is to open it.
        symbols: what its ids stand for.

    Example:
        >>> code = pytorch_snippet(ModelConfig(5, 5, hidden=4), "a.st", Vocabulary("abcde"))
        >>> "self.rnn = nn.LSTM(5, 4, num_layers=1)" in code
        True
    """
    use = config.bidirectional
    facts = facts_of(config, path, symbols)
    one_hots = {
        f"{name}one_hot": ONE_HOT.format(ids=ids, inputs=config.inputs)
        for name, ids in (("", "ids"), ("text_", "ids[:-1]"), ("last_", "ids[-1]"))
    }
    gates = len(CELLS[config.cell].gates) * config.hidden
    form = FORWARD_ATTENTION if config.attention else FORWARDS[use]
    if scales_state := config.cell == "mlstm":
        form = FORWARD_MLSTM
    widths = [config.inputs] + [config.hidden] * (config.layers - 1)
    step = CELL_STEPS.get(config.cell, "")
    steps = STEP_OF_LAYERS.format(**facts, **one_hots, cell=step)
    loading = PYTORCH.format(
        **facts,
        module=MODULES[config.cell],
        width=config.read_size,
        bidirectional="" if use is None else ", bidirectional=True",
        context=CONTEXT_MODULE.format(**facts, gates=gates) * (use == "context")
        + ATTENTION_MODULES.format(**facts, both=2 * config.hidden) * bool(config.attention)
        + SCALE_MODULES.format(**facts, widths=widths) * scales_state,
        forward=form.format(**facts, **one_hots, steps=steps),
    )
    return loading + symbols_code(symbols) + USES[use_of(symbols)][0].format(**facts)


def onnx_snippet(config: ModelConfig, path: str, symbols: Vocabulary | PairVocabulary) -> str:
    """Return code that runs an ONNX file with onnxruntime, step by step where it can be.

    The arguments are those of `pytorch_snippet`.

    Example:
        >>> code = onnx_snippet(ModelConfig(5, 5, hidden=4), "a.onnx", Vocabulary("abcde"))
        >>> "InferenceSession('a.onnx')" in code
        True
    """
    stateful = config.bidirectional is None
    facts = facts_of(config, path, symbols)
    loading = ONNX + symbols_code(symbols).replace("{", "{{").replace("}", "}}")
    code = loading + ONNX_STATE * stateful + USES[use_of(symbols)][1]
    return code.format(**facts, state=", **state" if stateful else "")


def use_of(symbols: Vocabulary | PairVocabulary) -> str:
    """Return what a model is used for: a key of `USES`."""
    if isinstance(symbols, Vocabulary):
        return "characters"
    layout = symbols.layout_spec
    if layout.feeds_back:
        return "answer"
    return "synced" if layout.answer_is_text else "label"


def symbols_code(symbols: Vocabulary | PairVocabulary) -> str:
    """Return the code that reads the symbols, and for pairs makes ids of an input."""
    if isinstance(symbols, Vocabulary):
        return VOCABULARY.format(note=BYTES_NOTE if symbols.as_bytes else "")
    is_text = symbols.layout_spec.source_is_text
    return PAIRS.format(
        example="sources[0]  # any text of these characters"
        if is_text
        else "[sources[0]]  # any of these labels",
        known="symbol"
        if symbols.unknown is None
        else 'symbol if symbol in sources else pairs["unknown"]',
        go="" if symbols.go_id is None else " + [len(sources)]  # GO: the answer begins",
    )


def facts_of(
    config: ModelConfig, path: str, symbols: Vocabulary | PairVocabulary
) -> dict[str, str | int]:
    """Return what the code names: sizes, the file, and how answers are written."""
    facts: dict[str, str | int] = {
        "inputs": config.inputs,
        "outputs": config.outputs,
        "hidden": config.hidden,
        "layers": config.layers,
        "heads": config.attention,
        "head": config.hidden // max(1, config.attention),
        "path": ascii(path),
        "answers": "next characters" if isinstance(symbols, Vocabulary) else "answers",
    }
    if isinstance(symbols, PairVocabulary):
        facts |= {
            "limit": answer_limit(symbols),
            "first_answer": symbols.inputs - len(symbols.answers),
        }
    return facts
