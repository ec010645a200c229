# Run once by the image of PostgreSQL, in an empty volume: the role of the pipeline, which is no
# superuser and may make the one that only reads, and both databases.
psql --username="$POSTGRES_USER" --set=ON_ERROR_STOP=1 --set=password="$STORE_PASSWORD" <<'SQL'
CREATE ROLE enrichment LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE enrichment OWNER enrichment;
CREATE DATABASE enrichment_dagster OWNER enrichment;
SQL
