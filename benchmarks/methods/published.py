"""Figures of the papers, labelled as published; none of them was reproduced here.

Denominators differ between papers and stand beside each figure: STR counts all convolutions and linears, AC/DC's
uniform rows count pruned layers alone, movement pruning and Prune-Once-for-All count the encoder's linears.
"""

IMAGENET = """\
| method | network | sparsity | top-1, % | denominator, recipe | source |
|---|---|---|---|---|---|
| PDP | MobileNet-v1 | 0.866 | 68.2 | not stated where read | its abstract (arXiv 2305.11203) |
| IDP | MobileNet-v1 | 0.866 | 68.2 | not stated where read | its abstract |
| IDP | ResNet-18 | 0.855 | 69.5 | not stated where read | its abstract |
| STR | MobileNet-v1 | 0.890 | 62.10 | all convolutions and linears, 100 epochs | its repository |
| OptG | MobileNet-v1 | 0.900 | 66.80 | 180 epochs | its repository |
| AC/DC | MobileNet-v1 | 0.900 | 66.24 | 100 epochs | its repository |
| RigL, 10 x steps | MobileNet-v1 | 0.890 | 69.31 | some layers dense, 1.39 x dense training | its repository |
| STR | ResNet-50 | 0.902 | 74.31 | all convolutions and linears, 100 epochs | its repository |
| OptG | ResNet-50 | 0.900 | 74.55 | 100 epochs | its repository |
| AC/DC | ResNet-50 | 0.900 | 75.03 | 100 epochs | its repository |
| RigL ERK, 1 x | ResNet-50 | 0.900 | 73.07 | 0.24 x dense training | its repository |
| SR-STE | ResNet-50 | keep 2 of 4 | 77.0 | 120 epochs | its repository |
| SR-STE | ResNet-50 | keep 1 of 4 | 75.9 | 120 epochs | its repository |
"""

MNLI = """\
| method | sparsity | MNLI, % | denominator | source |
|---|---|---|---|---|
| PDP, IDP | 0.90 | > 83.1 | not stated where read | their abstracts |
| Prune-Once-for-All | 0.90 | 81.45 / 82.43 | encoder linears | its repository |
| movement, soft | 0.90 | 81.2 / 81.8 | encoder linears | its repository |
| movement, hard | 0.90 | 80.1 / 80.4 | encoder linears | its repository |
| magnitude | 0.90 | 78.3 / 79.3 | encoder linears | movement pruning's repository |
"""
