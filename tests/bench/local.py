"""What exact log-probabilities of a record cost, beside one forward pass of its text.

    python -m tests.bench.local [--checkpoint demo] [--records 10] [--tokens 24] [--device auto]

Ten records under one explanation: the text before them is read once.  Prints medians of
``prompt_logprobs`` per record with that start shared and not shared, one bare forward
pass of transformers over the same tokens, their ratios, and the largest difference of
the log-probabilities of 0 to 10 from the pass without any cache.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

from engine.models.local import LocalModel
from engine.models.request import PromptReply, PromptRequest
from engine.subject import locate, resolve_device
from engine.text import read_documents

VALUES = tuple(str(number) for number in range(11))


def texts(records: int, tokens: int, start: int) -> tuple[str, list[str]]:
    """A shared start of about ``start`` words, and records of ``token<TAB>unknown`` lines."""
    words = [word for document in read_documents(("demo",)) for word in document.text.split()]
    shown = (f"{word}\t{len(word) % 11}" for word in words[:start])
    prefix = "Activations of a neuron that looks for places.\n" + "\n".join(shown) + "\n<start>\n"
    several = []
    for number in range(records):
        some = words[start + number * tokens : start + (number + 1) * tokens]
        several.append("".join(f" {word}\tunknown\n" for word in some))
    return prefix, several


async def measure(checkpoint: str, device: str, records: int, tokens: int, start: int) -> None:
    """Time all three and print them."""
    model = LocalModel.load(checkpoint, device=device)
    prefix, several = texts(records, tokens, start)
    requests = [PromptRequest(prefix + text, len(prefix), 15, VALUES) for text in several]
    # One kind after the other: threads of torch that wait take time from others.
    await model.prompt_logprobs(requests[-1])
    shared = [await timed(model, request) for request in requests]
    alone = []
    for request in requests:
        await model.prompt_logprobs(PromptRequest("."))
        alone.append(await timed(model, request))
    await model.close()
    bare = Bare(checkpoint, device)
    bare.seconds(requests[-1].text)
    passes = [bare.seconds(request.text) for request in requests]
    lengths = [reply.usage.input_tokens for reply, _ in shared]
    worst = max(
        difference
        for replies in (shared, alone)
        for request, (reply, _) in zip(requests, replies, strict=True)
        for difference in bare.differences(request, reply)
    )
    read = statistics.median(
        reply.usage.input_tokens - reply.usage.cached_input_tokens for reply, _ in shared
    )
    base = statistics.median(passes)
    print(f"{checkpoint}: {records} records, median {statistics.median(lengths):.0f} tokens each,")
    print(f"of which {read:.0f} are read anew for each\n")
    for name, values in (
        ("one forward pass (transformers alone)", passes),
        ("prompt_logprobs, nothing shared", [seconds for _, seconds in alone]),
        ("prompt_logprobs, shared start", [seconds for _, seconds in shared]),
    ):
        middle = statistics.median(values)
        print(f"{name:40}{middle * 1000:9.1f} ms{middle / base:9.2f} x")
    print(f"\nlargest difference of a log-probability of 0 to 10: {worst:.1e}")


async def timed(model: LocalModel, request: PromptRequest) -> tuple[PromptReply, float]:
    """A reply and its seconds, as a caller sees them."""
    started = time.perf_counter()
    reply = await model.prompt_logprobs(request)
    return reply, time.perf_counter() - started


class Bare:
    """The same checkpoint by transformers alone."""

    def __init__(self, checkpoint: str, device: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.torch = torch
        self.device = resolve_device(device)
        folder = locate(checkpoint)
        dtype = torch.float32 if self.device == "cpu" else "auto"
        loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        self.model = loaded.to(self.device).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
        self.tokenizer.encode_special_tokens = True

    def logits(self, text: str) -> object:
        """Of every position."""
        ids = self.tokenizer.encode(text).ids
        with self.torch.inference_mode():
            logits = self.model(self.torch.tensor([ids], device=self.device)).logits[0]
        if self.device != "cpu":
            self.torch.cuda.synchronize()
        return logits

    def seconds(self, text: str) -> float:
        """Of one pass."""
        started = time.perf_counter()
        self.logits(text)
        return time.perf_counter() - started

    def differences(self, request: PromptRequest, reply: PromptReply) -> list[float]:
        """Of the values' log-probabilities, where each is a token by itself."""
        whole = self.logits(request.text).double().log_softmax(-1).cpu()  # type: ignore[attr-defined]
        ids = {value: self.tokenizer.token_to_id(value) for value in VALUES}
        count = len(reply.tokens)
        return [
            abs(token.top[value] - float(whole[len(whole) - 1 - count + place][token_id]))
            for place, token in enumerate(reply.tokens)
            for value, token_id in ids.items()
            if token_id is not None and value in token.top
        ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--records", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=16, help="words of a record")
    parser.add_argument("--start", type=int, default=20, help="words of the shared start")
    given = parser.parse_args()
    asyncio.run(measure(given.checkpoint, given.device, given.records, given.tokens, given.start))
