"""Tables and figures of the papers, for `jaxuda reproduce`.

  jaxuda reproduce --list
  jaxuda reproduce --table=dada/3 --pair=streets --seeds=3 --workdir=DIR

There is a file for each paper, and `own` for a comparison of all methods;
`spec` defines what a table is. If a table's number in the paper is known, it is
another name for it: `dada/3`, `depdis/figure4`.

On the papers' pairs a network starts from the file of the official code, which
is expected in `pretrained/`; on small pairs from what the pair starts from.
There most tables have two rows without adaptation in front: the source-only
network with its own running statistics, and with those of target images
(AdaBN).

Rows of methods that are not implemented here are quoted and never run.
"""

from configs.tables import corda
from configs.tables import dada
from configs.tables import depdis
from configs.tables import gio_ada
from configs.tables import own

TABLES = {
  **dada.TABLES,
  **depdis.TABLES,
  **corda.TABLES,
  **gio_ada.TABLES,
  **own.TABLES,
}
