"""What alembic runs for every command: always inside the transaction that ``models.migrate`` opened."""

from alembic import context

from models.migrate import is_compared
from models.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    compare_server_default=True,
    include_object=is_compared,
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
