# One image for api, worker and migrate. TORCH picks the torch that goes in, e.g. --build-arg TORCH=torch==2.14.0
FROM python:3.11-slim
ARG TORCH=torch==2.13.0
WORKDIR /srv/espalier
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN grep -v '^torch==' constraints.txt > /tmp/constraints.txt \
    && pip install --no-cache-dir -c /tmp/constraints.txt "$TORCH"
COPY app app
COPY pruning pruning
COPY costmodels costmodels
COPY migrations migrations
RUN pip install --no-cache-dir -c /tmp/constraints.txt '.[postgres]' \
    && useradd --create-home espalier && mkdir /var/lib/espalier && chown espalier /var/lib/espalier
USER espalier
ENV ESPALIER_DATA_DIR=/var/lib/espalier
CMD ["espalier", "api", "--host", "0.0.0.0"]
