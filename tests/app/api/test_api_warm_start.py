"""What a search may begin with: earlier searches of the same model and data, judged alike."""

from typing import Any

from app.store import datasets, models
from tests.app.api.world import API, MODEL, World


def submit(world: World, **changes: Any) -> Any:
    return world.http.post(f"{API}/searches", json=world.spec(**changes))


def refused(answer: Any) -> tuple[int, str, str]:
    document = answer.json()
    return answer.status_code, document["code"], document["errors"][0]["pointer"]


def test_an_earlier_search_of_the_same_is_taken(world: World) -> None:
    source = world.finished_search()
    answer = submit(world, warm_start=[source], pooled=True, task={"augment": ["flip"]})
    assert answer.status_code == 202, answer.text
    assert answer.json()["spec"]["warm_start"] == [source]


def test_a_search_that_is_not_there_is_pointed_at(world: World) -> None:
    source = world.finished_search()
    assert refused(submit(world, warm_start=[source, "nobody"])) == (422, "unknown_search", "/warm_start/1")


def test_another_model_dataset_or_task_is_refused_with_both_names(world: World) -> None:
    source = world.finished_search()
    with world.service.database.begin() as s:
        project = world.service.project_id
        model = models.add(s, project_id=project, name="other net", upload_digest="7" * 64)
        models.set_ready(s, model.id, graph_digest="7" * 64, weights_digest="8" * 64, spec=MODEL.to_json())
        data = datasets.add(
            s, project_id=project, name="other data", kind="npz", upload_digest="9" * 64, options={"seed": 0}
        )
    for change, words in (
        ({"model": model.id}, ("model", "'other net'")),
        ({"dataset": data.id}, ("dataset", "'other data'")),
        ({"task": {"mean": [0.5], "std": [0.5]}}, ("task",)),
    ):
        answer = submit(world, warm_start=[source], **change)
        assert refused(answer) == (422, "warm_start_mismatch", "/warm_start/0")
        assert all(word in answer.json()["detail"] for word in (*words, "leave it out of warm_start"))


def test_the_same_file_uploaded_twice_is_the_same_model(world: World) -> None:
    source = world.finished_search()
    with world.service.database.begin() as s:
        known = models.get(s, world.service.project_id, world.model)
        assert known.graph_digest and known.weights_digest and known.spec
        twin = models.add(s, project_id=world.service.project_id, name="twin", upload_digest=known.upload_digest)
        models.set_ready(
            s, twin.id, graph_digest=known.graph_digest, weights_digest=known.weights_digest, spec=known.spec
        )
    answer = submit(world, model=twin.id, warm_start=[source])
    assert answer.status_code == 202, answer.text
