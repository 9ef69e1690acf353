"""Files that no format knows, and what a user knows better than a file: settings, their flags, recipes."""

from ptycho.data.importing.recipe import read_recipe as read_recipe
from ptycho.data.importing.recipe import write_recipe as write_recipe
from ptycho.data.importing.settings import ImportSettings as ImportSettings
