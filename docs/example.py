# A notebook: open it in Jupyter (with jupytext) or in VS Code, cell by cell.

# %% [markdown]
# # Which neurons of a layer does a simple explanation miss?
#
# A table of mean activations by token explains many neurons of a small model well. The ones
# that it explains badly are those worth a closer look. This needs a scan (`neuroglass scan`)
# and no language model.

# %%
import numpy as np

from engine import Engine, Group, NeuronDone, Scored, Sorting, TriageRequest

engine = await Engine.open()
index = engine.index
LAYER = 3

# %% [markdown]
# Explain some neurons of the layer. What is explained already is left out, so the cell can be
# run again with a larger number.

# %%
triages = engine.triages()
async for event in triages.run(TriageRequest(layers=(LAYER,), random=8)):
    if isinstance(event, NeuronDone):
        print(event.neuron, "no score" if event.score is None else f"{event.score:.2f}", event.text)

# %% [markdown]
# How the scores lie, and whether sparse neurons are explained better than dense ones.

# %%
board = triages.board()
board.refresh()
rows, total = board.page(sorting=Sorting.WORST, limit=1000)
rows = [row for row in rows if row.neuron.layer == LAYER and row.score is not None]
scores = np.array([row.score for row in rows])
active = np.array([row.fraction_active for row in rows])
print(f"{len(rows)} neurons, median score {np.median(scores):.2f}")
print("correlation of score and share of active tokens:", np.corrcoef(scores, active)[0, 1])

# %% [markdown]
# The worst of them: what fires it, and what the table says.

# %%
worst = rows[0].neuron
print(worst, f"{rows[0].score:.2f}", rows[0].text)
for passage in index.neuron(worst).group(Group.TOP)[:5]:
    place = int(passage.activations.argmax())
    before = b"".join(passage.excerpt.tokens[max(0, place - 8) : place]).decode("utf-8", "replace")
    token = passage.excerpt.tokens[place].decode("utf-8", "replace")
    print(f"{passage.peak:6.2f}  {before}[{token}]")

# %% [markdown]
# Where the prediction fails: the held-out passage with the lowest correlation.

# %%
async for event in engine.explain(worst):
    if isinstance(event, Scored):
        known = [one for one in event.card.records if one.ev_correlation is not None]
        lowest = min(known, key=lambda one: one.ev_correlation)
        print(f"{lowest.ev_correlation:.2f}", lowest.simulation.excerpt.text)

# %%
await engine.close()
