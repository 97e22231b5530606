"""Lists hold what the caller may see: all of it, once, in full pages, to an end that is the end."""

from mlflow import MlflowClient

from actors import acting, equal, fresh, grant, mail, until

client = MlflowClient()
batch = fresh("search")


def pages(search, **arguments):
    """Every item of a paged list, and the sizes of its pages."""
    items, sizes, token = [], [], None
    while True:
        page = search(page_token=token, **arguments)
        items.extend(page)
        sizes.append(len(page))
        token = page.token
        if not token:
            return items, sizes
        assert len(sizes) < 100, "the list does not end"


with acting("owner"):
    owned = [client.create_experiment(f"{batch}-owner-{number}") for number in range(7)]
    for number in range(5):
        client.create_registered_model(f"{batch}-owner-{number}")
    runs = [client.create_run(experiment, run_name="x").info.run_id for experiment in owned for _ in range(2)]
    for number in range(3):
        client.create_model_version(f"{batch}-owner-0", f"runs:/{runs[0]}/model", runs[0])
with acting("trainer"):
    others = [client.create_experiment(f"{batch}-trainer-{number}") for number in range(6)]
    for number in range(5):
        client.create_registered_model(f"{batch}-trainer-{number}")
    other_run = client.create_run(others[0]).info.run_id
    client.create_model_version(f"{batch}-trainer-0", f"runs:/{other_run}/model", other_run)

only = {"filter_string": f"name LIKE '{batch}%'"}
for who, mine in (("owner", owned), ("trainer", others)):
    with acting(who):
        found, sizes = pages(client.search_experiments, max_results=2, **only)
        equal(sorted(item.experiment_id for item in found), sorted(mine))
        # Full pages, but for the last.
        equal([size for size in sizes[:-1] if size != 2], [])
        found, _ = pages(client.search_experiments, max_results=50, **only)
        equal(len(found), len(mine))
        found, sizes = pages(client.search_registered_models, max_results=2, **only)
        equal(sorted(item.name for item in found), [f"{batch}-{who}-{number}" for number in range(5)])
        equal([size for size in sizes[:-1] if size != 2], [])

# An order of the caller's own, and pages in that order.
with acting("owner"):
    found, _ = pages(client.search_experiments, max_results=3, order_by=["name DESC"], **only)
    equal([item.name for item in found], [f"{batch}-owner-{number}" for number in reversed(range(7))])

with acting("guest"):
    equal(pages(client.search_experiments, max_results=2, **only)[0], [])
    equal(pages(client.search_registered_models, max_results=2, **only)[0], [])
    equal(list(client.search_model_versions(f"name='{batch}-owner-0'")), [])

# Some of another's, by grant, beside one's own.
grant(f"user:{mail('reader')}", "READ", "experiment", owned[1])
grant(f"user:{mail('reader')}", "READ", "experiment", owned[5])
grant(f"user:{mail('reader')}", "READ", "experiment", others[2])
grant(f"user:{mail('reader')}", "READ", "registered_model", f"{batch}-owner-0")
with acting("reader"):

    def three():
        found, sizes = pages(client.search_experiments, max_results=2, **only)
        equal(sorted(item.experiment_id for item in found), sorted([owned[1], owned[5], others[2]]))
        equal(sizes, [2, 1])

    until(three)
    until(lambda: equal(len(pages(client.search_registered_models, max_results=10, **only)[0]), 1))
    equal(sorted(int(item.version) for item in client.search_model_versions(f"name='{batch}-owner-0'")), [1, 2, 3])
    equal(list(client.search_model_versions(f"name='{batch}-trainer-0'")), [])
    # Runs are searched in experiments that the caller names; those that may not be seen are left out.
    equal(len(client.search_runs([owned[1], owned[5]])), 4)
    found, sizes = pages(client.search_runs, experiment_ids=[owned[1], owned[5]], max_results=3)
    equal((sorted(item.info.run_id for item in found), sizes), (sorted(runs[2:4] + runs[10:12]), [3, 1]))
    mixed = {item.info.experiment_id for item in client.search_runs([owned[1], owned[2]])}
    equal(mixed, {owned[1]})
    equal(list(client.search_runs([owned[2]])), [])
