-- Which songs did Genie rank on each day?
{{ typed_chart(source('charts', 'genie_chart')) }}
