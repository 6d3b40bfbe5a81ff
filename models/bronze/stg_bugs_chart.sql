-- Which songs did Bugs rank on each day?
{{ typed_chart(source('charts', 'bugs_chart')) }}
